-- The largest version that there may be, schema.MaxVersion: 2^53 - 1, which 16 digits hold and a JSON client can. Triggers
-- never come near (they count microseconds: 53 bits last until the year 2255), a hand may. A document that somebody has
-- taken up to the end cannot be written any more, and the error of the write names this constraint; a lower version mends
-- it. INSERT IGNORE and the like fail as well, rather than to change a document without a new version.
--
-- Versions that are too large already become what they would be if they had been written just now. They fall by that, but
-- the ALTER TABLE after it has everything dropped that caches hold. It copies the table while nobody can write to it.

-- +goose NO TRANSACTION
-- +goose Up

UPDATE video_versions
SET version = CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED)
WHERE version > 9007199254740991;

-- MySQL has no ADD CONSTRAINT IF NOT EXISTS, and a run that was interrupted is repeated.
SET @bound = IF((
    SELECT COUNT(*) FROM information_schema.table_constraints
    WHERE constraint_schema = DATABASE() AND table_name = 'video_versions' AND constraint_name = 'video_versions_largest'
  ) = 0,
  'ALTER TABLE video_versions ADD CONSTRAINT video_versions_largest CHECK (version <= 9007199254740991)',
  'DO 0');

PREPARE bound FROM @bound;

EXECUTE bound;

DEALLOCATE PREPARE bound;
