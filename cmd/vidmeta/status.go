package main

import "context"

func (f *fleet) watch(ctx context.Context, out *console) error { <-ctx.Done(); return nil }
