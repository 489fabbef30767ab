package schema

import (
	"context"
	"fmt"
	"strings"
)

// Versions returns the version of each id, in the order given and all of one snapshot: zero where there never was a
// document. It is Load without the documents, and much cheaper. A version beyond MaxVersion is returned as it stands: who
// waits for a version shall not wait for ever since another document is broken.
func (s *Store) Versions(ctx context.Context, ids []ID) ([]Version, error) {
	versions, err := s.readVersions(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("versions of %s: %w", describe(ids), err)
	}
	return versions, nil
}

func (s *Store) readVersions(ctx context.Context, ids []ID) ([]Version, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found := make(map[ID]Version, len(ids))
	args := make([]any, 0, len(ids))
	for _, id := range ids {
		if _, again := found[id]; !again {
			found[id] = 0
			args = append(args, uint64(id))
		}
	}
	rows, err := s.versions.query(ctx, args, 1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, version uint64
		if err := rows.Scan(&id, &version); err != nil {
			return nil, err
		}
		found[ID(id)] = Version(version)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	versions := make([]Version, len(ids))
	for i, id := range ids {
		versions[i] = found[id]
	}
	return versions, nil
}

func selectVersions(n int) string {
	return "SELECT video_id, version FROM " + VersionTable + " WHERE video_id IN (?" + strings.Repeat(",?", n-1) + ")"
}
