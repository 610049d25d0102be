-- Run once, by the image of PostgreSQL, when its volume is new: the media company's database with its tables, which the
-- platform may only read, and the platform's own. PASSWORDS is the folder of the passwords.
\set owner `cat "$PASSWORDS/media_owner"`
\set reader `cat "$PASSWORDS/engagement_reader"`
\set platform `cat "$PASSWORDS/engagement_platform"`

CREATE ROLE media_owner LOGIN PASSWORD :'owner';
CREATE ROLE engagement_reader LOGIN PASSWORD :'reader';
CREATE ROLE engagement_platform LOGIN PASSWORD :'platform';
CREATE DATABASE media OWNER media_owner;
CREATE DATABASE engagement_platform OWNER engagement_platform;

\connect media
SET ROLE media_owner;
\ir tables/source_tables.sql
