module vidmeta/bench

go 1.26.0

require vidmeta v0.0.0

replace vidmeta => ../
