"""The DDL of `rigbus.db` and its versions. `docs/store.md` publishes it whole; a test compares the two.

Version n of a database has seen the first n entries of MIGRATIONS; an entry is never changed once released, only
followed by another. Every table that is read by id is AUTOINCREMENT: a table emptied by retention would otherwise start
at 1 again, and a cursor would skip everything new.
"""

import sqlite3

from common.errors import StoreError
from common.telemetry.schema import TABLES

_V1 = """
CREATE TABLE streams (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    node         TEXT NOT NULL,
    src          TEXT NOT NULL,               -- the daemon instance
    run          TEXT NOT NULL,               -- 16 hex digits, drawn at each start
    boot_id      TEXT NOT NULL DEFAULT '',
    stored_to    INTEGER NOT NULL DEFAULT 0,  -- the cursor: every number up to here is stored or in the ledger
    stored       INTEGER NOT NULL DEFAULT 0,  -- frames stored, counted in the transaction that writes their rows
    no_rows      INTEGER NOT NULL DEFAULT 0,  -- of these, frames that leave no row
    published_to INTEGER NOT NULL DEFAULT 0,  -- the highest number its publisher has told of
    closed       INTEGER NOT NULL DEFAULT 0,  -- 0 open, 1 clean, 2 killed, 3 unknowable beyond the cursor
    UNIQUE (node, src, run)
);

CREATE TABLE pulses (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    t_ns      INTEGER NOT NULL,
    channel   TEXT NOT NULL,
    total     INTEGER NOT NULL,               -- lifetime count, this edge included
    stream_id INTEGER NOT NULL,
    frame_seq INTEGER NOT NULL
);
CREATE INDEX idx_pulses_t ON pulses (t_ns);

CREATE TABLE sample_chunks (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    t_ns      INTEGER NOT NULL,               -- of the first sample
    sensor    TEXT NOT NULL,
    n         INTEGER NOT NULL,
    rate_hz   REAL NOT NULL,                  -- measured over the chunk where it is more than one frame
    axes      TEXT NOT NULL,                  -- JSON list of names
    unit      TEXT NOT NULL,
    scale     REAL NOT NULL,                  -- units per count
    dtype     TEXT NOT NULL,                  -- '<i2' or '<f4'
    dt_ns     NOT NULL,                       -- the step as an integer, or the steps as a blob
    encoding  TEXT NOT NULL,
    data      BLOB NOT NULL,
    from_seq  INTEGER NOT NULL,               -- the first and the last of its frames
    to_seq    INTEGER NOT NULL,
    frames    INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    frame_seq INTEGER GENERATED ALWAYS AS (from_seq) VIRTUAL
);
CREATE INDEX idx_sample_chunks_t ON sample_chunks (t_ns);

CREATE TABLE thermostat_readings (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    t_ns            INTEGER NOT NULL,
    device          TEXT NOT NULL,
    channel         INTEGER,
    temperature     REAL,                     -- °C; NULL: no thermistor, or NaN
    i_tec           REAL,
    pid_output      REAL,
    adc             REAL,
    sens            REAL,
    i_set           REAL,
    dac_value       REAL,
    dac_feedback    REAL,
    tec_i           REAL,
    tec_u_meas      REAL,
    pid_engaged     INTEGER,
    current_swapped INTEGER,
    interval        REAL,
    device_time_s   REAL,                     -- the device's own `time`, since its boot
    dialect         TEXT NOT NULL,
    extra_json      TEXT,                     -- fields this version has no column for
    stream_id       INTEGER NOT NULL,
    frame_seq       INTEGER NOT NULL
);
CREATE INDEX idx_thermostat_readings_t ON thermostat_readings (t_ns);

CREATE TABLE pump_events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    t_ns       INTEGER NOT NULL,
    pump       TEXT NOT NULL,
    event      TEXT NOT NULL,
    action     TEXT NOT NULL,
    direction  TEXT NOT NULL,
    ml         REAL,
    seconds    REAL,
    hz         REAL,
    steps      INTEGER,
    command_id TEXT NOT NULL,
    reason     TEXT,
    stream_id  INTEGER NOT NULL,
    frame_seq  INTEGER NOT NULL
);

CREATE TABLE health (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    t_ns             INTEGER NOT NULL,
    last_seq         INTEGER NOT NULL,
    closed           INTEGER NOT NULL,
    pid              INTEGER NOT NULL,
    cpu_pct          REAL,
    rss_bytes        INTEGER NOT NULL,
    rates_json       TEXT NOT NULL,           -- topic → Hz
    lateness_p50_us  REAL,                    -- the worst of each since the source's row before
    lateness_p99_us  REAL,
    lateness_p999_us REAL,
    lateness_max_us  REAL,
    missed_ticks     INTEGER NOT NULL,
    journal_frames   INTEGER NOT NULL,
    journal_bytes    INTEGER NOT NULL,
    journal_oldest   INTEGER NOT NULL,        -- wall ns; 0: empty
    status           TEXT NOT NULL,
    stream_id        INTEGER NOT NULL,
    frame_seq        INTEGER NOT NULL         -- always 0: health is live only
);

CREATE TABLE ledger (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    t_ns      INTEGER NOT NULL,
    stream_id INTEGER,                        -- NULL: of no stream
    stream    TEXT NOT NULL,                  -- a topic; '*': all of the source
    unit      TEXT NOT NULL,                  -- frame, edge, sample, poll, row
    count     INTEGER,                        -- NULL: unknown
    cause     TEXT NOT NULL,
    from_seq  INTEGER,
    to_seq    INTEGER,
    from_t_ns INTEGER,
    to_t_ns   INTEGER,
    detail    TEXT NOT NULL DEFAULT '',
    frame_seq INTEGER                         -- of the loss frame that told it
);

CREATE TABLE clock_steps (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    t_ns    INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    step_ns INTEGER NOT NULL,
    detail  TEXT NOT NULL DEFAULT ''
);

CREATE TABLE quarantine (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    output     TEXT NOT NULL,                 -- 'store': a frame that could not be stored
    table_name TEXT NOT NULL,                 -- for 'store' the kind, or the topic where it cannot be read
    row_id     INTEGER NOT NULL,              -- for 'store' the frame's number
    reason     TEXT NOT NULL,
    line       BLOB,
    t_ns       INTEGER NOT NULL
);

CREATE TABLE output_cursors (
    output     TEXT NOT NULL,
    table_name TEXT NOT NULL,
    last_id    INTEGER NOT NULL DEFAULT 0,
    t_ns       INTEGER NOT NULL DEFAULT 0,    -- when it moved
    PRIMARY KEY (output, table_name)
);
"""

# t_orig_ns: what a row's time was before it was re-timed, as the clock had not been set when it was stamped.
RETIMED = (
    *("pulses", "sample_chunks", "thermostat_readings", "pump_events", "health", "ledger", "dds_commands"),
    *("dds_feedback", "smoother_state", "web_requests", "camera_health", "system_events"),
)
_V2 = (
    "".join(f"ALTER TABLE {table} ADD COLUMN t_orig_ns INTEGER;\n" for table in RETIMED)
    + """
ALTER TABLE streams ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN requeued INTEGER NOT NULL DEFAULT 0;
CREATE INDEX idx_health_t ON health (t_ns);
CREATE INDEX idx_quarantine_requeued ON quarantine (output) WHERE requeued = 1;

CREATE TABLE output_files (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    output     TEXT NOT NULL,
    path       TEXT NOT NULL,                 -- below the output's folder
    table_name TEXT NOT NULL,
    first_id   INTEGER NOT NULL,              -- the first row of that table that stands in it
    bytes      INTEGER NOT NULL,              -- up to here it holds the rows up to the output's cursor
    closed     INTEGER NOT NULL DEFAULT 0,    -- 1: it is whole and on the disk
    boot_id    TEXT NOT NULL,                 -- in which it was written
    UNIQUE (output, path)
);

CREATE TABLE rollups (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- a changed row gets a new one, so that outputs send it again
    window_s  INTEGER NOT NULL,               -- 60, 300 or 3600
    series    TEXT NOT NULL,
    t_ns      INTEGER NOT NULL,               -- the start of the window
    n         INTEGER NOT NULL,
    sum       REAL NOT NULL,
    min       REAL NOT NULL,
    max       REAL NOT NULL,
    last      REAL NOT NULL,
    last_t_ns INTEGER NOT NULL,               -- when `last` was
    UNIQUE (window_s, t_ns, series)
);

CREATE TABLE open_losses (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    stream    TEXT NOT NULL UNIQUE,           -- as in the ledger, to which the sum goes
    count     INTEGER NOT NULL,
    from_t_ns INTEGER NOT NULL,
    to_t_ns   INTEGER NOT NULL
);

CREATE TABLE boots (
    boot_id         TEXT PRIMARY KEY,
    offset_ns       INTEGER NOT NULL,         -- wall − CLOCK_BOOTTIME as last seen
    unset_offset_ns INTEGER,                  -- as first seen, the clock not being set; NULL: it was, at the first look
    sane_mono_ns    INTEGER,                  -- CLOCK_BOOTTIME of the first look at which it was set; NULL: not yet
    sane_offset_ns  INTEGER,                  -- wall − CLOCK_BOOTTIME then: earlier rows are moved to it
    held_json       TEXT NOT NULL,            -- table → last id that was stored before the sink saw this boot
    upto_json       TEXT NOT NULL,            -- table → last id at that look: later rows are right from the start
    released        INTEGER NOT NULL,         -- 1: hold_s was over before that look, outputs got the rows as they were
    retimed         INTEGER NOT NULL          -- 1: nothing is left to be moved
);

CREATE TABLE unset_rows (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id    TEXT NOT NULL,                 -- whose clock is not set, or whose rows are not yet moved
    table_name TEXT NOT NULL,
    stream_id  INTEGER,                       -- NULL: of no stream
    from_id    INTEGER NOT NULL,              -- rows of that stream and table, from here to the next such entry:
    offset_ns  INTEGER                        -- wall − CLOCK_BOOTTIME of their stamps; NULL: they stay as they are
);
"""
)

MIGRATIONS: tuple[str, ...] = (_V1 + TABLES, _V2)


def version(conn: sqlite3.Connection) -> int:
    """The schema version of an open database; 0 for an empty one."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def migrate(conn: sqlite3.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring a database (autocommit connection) to the newest version, each step in one transaction.

    StoreError for a database of a newer rigbus; sqlite3.Error, with the failing step undone, where a step fails.
    """
    found = version(conn)
    if found > len(migrations):
        raise StoreError(f"the database has schema version {found}, this rigbus knows only {len(migrations)}")
    for number, script in enumerate(migrations[found:], found + 1):
        try:
            conn.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version = {number};COMMIT;")
        except sqlite3.Error:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise
