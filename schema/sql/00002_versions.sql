-- The version of every document, and the triggers that raise it on every write to any of its rows, whoever writes and
-- with whatever SQL. A version is microseconds since 1970 (UTC, whatever the session's time zone), or one more than
-- before where that clock has not moved on. Rows of video_versions are never deleted: a document that is deleted and
-- inserted again goes on with a larger version. That is also why there is no way down from here.
--
-- Each trigger repeats the expression rather than using VALUES(version), which MySQL deprecates, or a row alias, which
-- MariaDB does not know; UTC_TIMESTAMP is the same throughout one statement. An update of a row's document id counts
-- for both documents, the lower id first, so that two moves in opposite directions lock in one order; an update that
-- leaves it alone touches the version once.
--
-- DROP TRIGGER IF EXISTS lets an interrupted run of this file be repeated (DDL does not roll back). Until the file has
-- once come to its end there are no versions for anybody to rely on.

-- +goose NO TRANSACTION
-- +goose Up

CREATE TABLE IF NOT EXISTS video_versions (
  video_id BIGINT UNSIGNED NOT NULL,
  version  BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (video_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;


-- videos

DROP TRIGGER IF EXISTS videos_version_insert;

CREATE TRIGGER videos_version_insert AFTER INSERT ON videos FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (NEW.id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));

DROP TRIGGER IF EXISTS videos_version_update;

-- +goose StatementBegin
CREATE TRIGGER videos_version_update AFTER UPDATE ON videos FOR EACH ROW
BEGIN
  INSERT INTO video_versions (video_id, version)
  VALUES (LEAST(OLD.id, NEW.id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
  ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
    CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  IF NEW.id <> OLD.id THEN
    INSERT INTO video_versions (video_id, version)
    VALUES (GREATEST(OLD.id, NEW.id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
    ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
      CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  END IF;
END;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS videos_version_delete;

CREATE TRIGGER videos_version_delete AFTER DELETE ON videos FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (OLD.id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));


-- video_tags

DROP TRIGGER IF EXISTS video_tags_version_insert;

CREATE TRIGGER video_tags_version_insert AFTER INSERT ON video_tags FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (NEW.video_id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));

DROP TRIGGER IF EXISTS video_tags_version_update;

-- +goose StatementBegin
CREATE TRIGGER video_tags_version_update AFTER UPDATE ON video_tags FOR EACH ROW
BEGIN
  INSERT INTO video_versions (video_id, version)
  VALUES (LEAST(OLD.video_id, NEW.video_id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
  ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
    CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  IF NEW.video_id <> OLD.video_id THEN
    INSERT INTO video_versions (video_id, version)
    VALUES (GREATEST(OLD.video_id, NEW.video_id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
    ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
      CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  END IF;
END;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS video_tags_version_delete;

CREATE TRIGGER video_tags_version_delete AFTER DELETE ON video_tags FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (OLD.video_id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));


-- video_cast

DROP TRIGGER IF EXISTS video_cast_version_insert;

CREATE TRIGGER video_cast_version_insert AFTER INSERT ON video_cast FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (NEW.video_id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));

DROP TRIGGER IF EXISTS video_cast_version_update;

-- +goose StatementBegin
CREATE TRIGGER video_cast_version_update AFTER UPDATE ON video_cast FOR EACH ROW
BEGIN
  INSERT INTO video_versions (video_id, version)
  VALUES (LEAST(OLD.video_id, NEW.video_id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
  ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
    CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  IF NEW.video_id <> OLD.video_id THEN
    INSERT INTO video_versions (video_id, version)
    VALUES (GREATEST(OLD.video_id, NEW.video_id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
    ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
      CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  END IF;
END;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS video_cast_version_delete;

CREATE TRIGGER video_cast_version_delete AFTER DELETE ON video_cast FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (OLD.video_id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));


-- video_renditions

DROP TRIGGER IF EXISTS video_renditions_version_insert;

CREATE TRIGGER video_renditions_version_insert AFTER INSERT ON video_renditions FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (NEW.video_id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));

DROP TRIGGER IF EXISTS video_renditions_version_update;

-- +goose StatementBegin
CREATE TRIGGER video_renditions_version_update AFTER UPDATE ON video_renditions FOR EACH ROW
BEGIN
  INSERT INTO video_versions (video_id, version)
  VALUES (LEAST(OLD.video_id, NEW.video_id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
  ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
    CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  IF NEW.video_id <> OLD.video_id THEN
    INSERT INTO video_versions (video_id, version)
    VALUES (GREATEST(OLD.video_id, NEW.video_id), CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
    ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
      CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));
  END IF;
END;
-- +goose StatementEnd

DROP TRIGGER IF EXISTS video_renditions_version_delete;

CREATE TRIGGER video_renditions_version_delete AFTER DELETE ON video_renditions FOR EACH ROW
INSERT INTO video_versions (video_id, version)
VALUES (OLD.video_id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED))
ON DUPLICATE KEY UPDATE version = GREATEST(version + 1,
  CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED));


-- Documents that were there before the triggers. CREATE TRIGGER has waited for every transaction that was writing, so
-- nothing falls between.
INSERT IGNORE INTO video_versions (video_id, version)
SELECT id, CAST(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) AS UNSIGNED) FROM videos;
