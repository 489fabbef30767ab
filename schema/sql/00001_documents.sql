-- The tables that a document is made of, and one beside them that no document reads. IF NOT EXISTS: tables of these
-- names and columns that are there already, with their rows, are taken as they are.
--
-- A child's foreign key may cascade from videos: a cascade fires no trigger (MySQL, MariaDB), but the statement on
-- videos that set it off fires that table's own, which count for the same document. For this reason nothing may ever
-- cascade onto videos.

-- +goose NO TRANSACTION
-- +goose Up

-- public_id may be NULL so that an INSERT which does not know of it works; published_at is UTC.
CREATE TABLE IF NOT EXISTS videos (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  public_id     CHAR(11) CHARACTER SET ascii COLLATE ascii_bin NULL DEFAULT NULL,
  title         VARCHAR(500) NOT NULL,
  description   TEXT NULL,
  kind          ENUM('film', 'series', 'episode', 'clip') NOT NULL DEFAULT 'film',
  channel       VARCHAR(200) NULL DEFAULT NULL,
  category      VARCHAR(100) NULL DEFAULT NULL,
  language      VARCHAR(35) NULL DEFAULT NULL,
  release_year  SMALLINT UNSIGNED NULL DEFAULT NULL,
  duration_ms   BIGINT UNSIGNED NULL DEFAULT NULL,
  status        ENUM('draft', 'published', 'unlisted', 'removed') NOT NULL DEFAULT 'published',
  thumbnail_url VARCHAR(1024) NULL DEFAULT NULL,
  published_at  DATETIME(6) NULL DEFAULT NULL,
  created_at    TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  updated_at    TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  UNIQUE KEY videos_public_id (public_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS video_tags (
  video_id BIGINT UNSIGNED NOT NULL,
  tag      VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (video_id, tag),
  CONSTRAINT video_tags_video FOREIGN KEY (video_id) REFERENCES videos (id) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS video_cast (
  video_id BIGINT UNSIGNED NOT NULL,
  position SMALLINT UNSIGNED NOT NULL,
  name     VARCHAR(255) NOT NULL,
  PRIMARY KEY (video_id, position),
  CONSTRAINT video_cast_video FOREIGN KEY (video_id) REFERENCES videos (id) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE IF NOT EXISTS video_renditions (
  video_id     BIGINT UNSIGNED NOT NULL,
  quality      VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  codec        VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  width        INT UNSIGNED NULL DEFAULT NULL,
  height       INT UNSIGNED NULL DEFAULT NULL,
  bitrate_kbps INT UNSIGNED NULL DEFAULT NULL,
  url          VARCHAR(1024) NULL DEFAULT NULL,
  PRIMARY KEY (video_id, quality, codec),
  CONSTRAINT video_renditions_video FOREIGN KEY (video_id) REFERENCES videos (id) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- What changes all the time and is not metadata: no document reads it, so it has no trigger and costs no invalidation.
CREATE TABLE IF NOT EXISTS video_stats (
  video_id   BIGINT UNSIGNED NOT NULL,
  views      BIGINT UNSIGNED NOT NULL DEFAULT 0,
  likes      BIGINT UNSIGNED NOT NULL DEFAULT 0,
  updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (video_id),
  CONSTRAINT video_stats_video FOREIGN KEY (video_id) REFERENCES videos (id) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
