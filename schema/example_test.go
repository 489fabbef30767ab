package schema_test

import (
	"context"
	"fmt"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

// Making the tables, and reading two documents of one snapshot.
func ExampleNewStore() {
	ctx := context.Background()
	db, err := mysqldb.Open("vidmeta:secret@tcp(127.0.0.1:3306)/vidmeta", mysqldb.Pool{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	if _, err := migrate.Run(ctx, db); err != nil {
		fmt.Println(err)
		return
	}
	store := schema.NewStore(db)
	defer store.Close()
	documents, err := store.Load(ctx, []schema.ID{1, 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range documents {
		fmt.Println(d.ID, d.Version, d.Exists(), string(d.Body))
	}
}
