-- The world of the Calendar Gym. Instants are UTC texts (YYYY-MM-DDTHH:MM:SSZ); structured values are JSON texts.
-- Every row that a client can synchronise carries the number of the change that touched it last: etags, sync tokens
-- and tombstones all come from it. Nothing is ever removed from such a table, only marked.

CREATE TABLE world (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    seed      INTEGER NOT NULL,
    now       TEXT    NOT NULL,              -- the episode's clock; one second passes with every change
    change    INTEGER NOT NULL,              -- the number of the last change
    next_id   INTEGER NOT NULL               -- the counter behind generated identifiers
);

CREATE TABLE users (
    user_id      TEXT PRIMARY KEY,
    email        TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name         TEXT NOT NULL,
    given_name   TEXT NOT NULL,
    family_name  TEXT NOT NULL,
    time_zone    TEXT NOT NULL,
    access_token TEXT NOT NULL UNIQUE
);

CREATE TABLE group_members (
    group_email TEXT NOT NULL COLLATE NOCASE,
    user_id     TEXT NOT NULL REFERENCES users,
    PRIMARY KEY (group_email, user_id)
) WITHOUT ROWID;

CREATE TABLE settings (
    user_id    TEXT NOT NULL REFERENCES users,
    setting_id TEXT NOT NULL,
    value      TEXT NOT NULL,
    change     INTEGER NOT NULL,
    PRIMARY KEY (user_id, setting_id)
) WITHOUT ROWID;

CREATE TABLE calendars (
    calendar_id           TEXT PRIMARY KEY,
    owner_id              TEXT NOT NULL REFERENCES users,   -- the data owner
    summary               TEXT NOT NULL,
    description           TEXT,
    location              TEXT,
    time_zone             TEXT NOT NULL,
    is_primary            INTEGER NOT NULL DEFAULT 0,
    conference_properties TEXT,
    deleted               INTEGER NOT NULL DEFAULT 0,
    created               TEXT NOT NULL,
    updated               TEXT NOT NULL,
    change                INTEGER NOT NULL
);
CREATE UNIQUE INDEX one_primary ON calendars (owner_id) WHERE is_primary;

-- Which calendars a user has in the side bar, and how they look there.
CREATE TABLE calendar_list (
    user_id               TEXT NOT NULL REFERENCES users,
    calendar_id           TEXT NOT NULL REFERENCES calendars,
    summary_override      TEXT,
    color_id              TEXT NOT NULL,
    background_color      TEXT NOT NULL,
    foreground_color      TEXT NOT NULL,
    hidden                INTEGER NOT NULL DEFAULT 0,
    selected              INTEGER NOT NULL DEFAULT 0,
    default_reminders     TEXT NOT NULL DEFAULT '[]',
    notification_settings TEXT,
    deleted               INTEGER NOT NULL DEFAULT 0,
    change                INTEGER NOT NULL,
    PRIMARY KEY (user_id, calendar_id)
) WITHOUT ROWID;

-- A deleted rule stays with the role 'none'. user_id is the grantee, where the scope is a user with an account.
CREATE TABLE acls (
    calendar_id TEXT NOT NULL REFERENCES calendars,
    rule_id     TEXT NOT NULL,
    scope_type  TEXT NOT NULL CHECK (scope_type IN ('default', 'user', 'group', 'domain')),
    scope_value TEXT COLLATE NOCASE,
    user_id     TEXT REFERENCES users,
    role        TEXT NOT NULL,
    created     TEXT NOT NULL,
    updated     TEXT NOT NULL,
    change      INTEGER NOT NULL,
    PRIMARY KEY (calendar_id, rule_id)
) WITHOUT ROWID;

-- One row per event, kept by the organizer's calendar; a series is one row, and one more for each occurrence that differs.
CREATE TABLE events (
    event_key               INTEGER PRIMARY KEY,
    event_id                TEXT NOT NULL,
    calendar_id             TEXT NOT NULL REFERENCES calendars,   -- the organizer's calendar
    i_cal_uid               TEXT NOT NULL,
    status                  TEXT NOT NULL,                        -- confirmed, tentative, cancelled (deleted)
    summary                 TEXT,
    description             TEXT,
    location                TEXT,
    start_datetime          TEXT NOT NULL,                        -- of an all-day event: midnight UTC of its date
    end_datetime            TEXT NOT NULL,
    start_date              TEXT,                                 -- of an all-day event only
    end_date                TEXT,
    start_time_zone         TEXT,
    end_time_zone           TEXT,
    recurrence              TEXT,                                 -- JSON list of RFC 5545 lines; of a series only
    recurring_event_id      TEXT,                                 -- of an exception: the series, and where it belongs
    series_key              INTEGER REFERENCES events,
    original_start_datetime TEXT,
    original_start_date     TEXT,
    event_type              TEXT NOT NULL DEFAULT 'default',
    visibility              TEXT NOT NULL DEFAULT 'default',
    transparency            TEXT NOT NULL DEFAULT 'opaque',
    creator_email           TEXT NOT NULL,
    organizer_email         TEXT NOT NULL,
    organizer_name          TEXT,
    sequence                INTEGER NOT NULL DEFAULT 0,
    guests_can_invite_others    INTEGER NOT NULL DEFAULT 1,
    guests_can_modify           INTEGER NOT NULL DEFAULT 0,
    guests_can_see_other_guests INTEGER NOT NULL DEFAULT 1,
    anyone_can_add_self         INTEGER NOT NULL DEFAULT 0,
    shared_properties       TEXT,
    conference_data         TEXT,
    attachments             TEXT,
    source                  TEXT,
    type_properties         TEXT,                                 -- of out-of-office, focus time, working location, birthday
    created                 TEXT NOT NULL,
    updated                 TEXT NOT NULL,
    created_change          INTEGER NOT NULL,
    rule_change             INTEGER NOT NULL,                     -- when start or recurrence changed last
    change                  INTEGER NOT NULL
);
CREATE INDEX events_of_calendar ON events (calendar_id, event_id);
CREATE INDEX exceptions_of_series ON events (series_key) WHERE series_key IS NOT NULL;

-- On which calendars an event is to be seen, the organizer's own among them, and what is private to each.
CREATE TABLE event_copies (
    event_key          INTEGER NOT NULL REFERENCES events,
    calendar_id        TEXT NOT NULL REFERENCES calendars,
    event_id           TEXT NOT NULL,
    cancelled          INTEGER NOT NULL DEFAULT 0,
    color_id           TEXT,
    transparency       TEXT,
    reminders          TEXT,
    private_properties TEXT,
    change             INTEGER NOT NULL,
    PRIMARY KEY (event_key, calendar_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX copies_of_calendar ON event_copies (calendar_id, event_id);

CREATE TABLE attendees (
    event_key         INTEGER NOT NULL REFERENCES events,
    event_id          TEXT NOT NULL,
    email             TEXT NOT NULL COLLATE NOCASE,
    position          INTEGER NOT NULL,
    user_id           TEXT REFERENCES users,
    display_name      TEXT,
    optional          INTEGER NOT NULL DEFAULT 0,
    resource          INTEGER NOT NULL DEFAULT 0,
    response_status   TEXT NOT NULL DEFAULT 'needsAction',
    comment           TEXT,
    additional_guests INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (event_key, email)
) WITHOUT ROWID;

-- Who would have been mailed. Nothing is ever sent.
CREATE TABLE outbox (
    message_id  INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL,
    calendar_id TEXT NOT NULL,
    event_id    TEXT,
    recipient   TEXT NOT NULL,
    created     TEXT NOT NULL
);
