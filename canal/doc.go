// Package canal is the sidecar: it follows MySQL's binlog and tells the caches what has changed.
//
//	stream.go      the binlog connection: events in, changes out
//	change.go      what one event means: a pure function of its fields
//	position.go    GTID sets of both flavours
//	place.go       where a position is in the server's files: it tells one binlog from another that counts alike
//	queue.go       changes gather here, the largest version per document, while a batch is being applied
//	apply.go       one batch: mark Redis, reload what it holds, publish, checkpoint
//	settled.go     whether all that has written a version can be seen, asked of the row's lock
//	watermark.go   the time before which every commit has been applied and published
//	status.go      which server answers, and how far it is
//	leader.go      one sidecar leads, by a lock that MySQL itself frees when the leader dies
//	sidecar.go     the loop around all of it: any failure ends the session, and the next resumes from the checkpoint
//
// The position moves only after the effect, and every effect may be repeated: versions decide, not the order of arrival.
// So there is one answer to every failure, which is to begin again at the checkpoint.
package canal
