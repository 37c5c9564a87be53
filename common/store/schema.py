"""The DDL of `rigbus.db` and its versions. `docs/store.md` publishes it whole; a test compares the two.

Version n of a database has seen the first n entries of MIGRATIONS; an entry is never changed once released, only
followed by another. Every table that is read by id is AUTOINCREMENT: a table emptied by retention would otherwise start
at 1 again, and a cursor would skip everything new.
"""

import sqlite3

from common.errors import StoreError

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

CREATE TABLE dds_commands (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    ts             REAL NOT NULL,             -- wall, epoch seconds
    ts_mono        REAL NOT NULL,             -- CLOCK_BOOTTIME, seconds
    seq            INTEGER,
    funcode        INTEGER NOT NULL,
    joint_id       INTEGER,
    target_value   REAL,
    data_json      TEXT,
    correlation_id TEXT,
    raw_len        INTEGER,
    address        INTEGER,
    stream_id      INTEGER,
    frame_seq      INTEGER
);
CREATE INDEX idx_dds_commands_ts ON dds_commands (ts);
CREATE INDEX idx_dds_commands_cid ON dds_commands (correlation_id);
CREATE INDEX idx_dds_commands_funcode ON dds_commands (funcode);

CREATE TABLE dds_feedback (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    ts             REAL NOT NULL,
    ts_mono        REAL NOT NULL,
    seq            INTEGER,
    funcode        INTEGER NOT NULL,          -- 1 angles, 3 status, 101 recv ack, 102 exec ack
    angle0 REAL, angle1 REAL, angle2 REAL, angle3 REAL, angle4 REAL, angle5 REAL,
    angle6         REAL,                      -- the gripper
    power_status   INTEGER,
    enable_status  INTEGER,
    error_status   INTEGER,
    recv_status    INTEGER,
    exec_status    INTEGER,
    address        INTEGER,                   -- NULL: current_servo_angle
    arm_funcode    INTEGER,                   -- as the arm sent it
    data_json      TEXT,
    correlation_id TEXT,
    raw_len        INTEGER,
    stream_id      INTEGER,
    frame_seq      INTEGER
);
CREATE INDEX idx_dds_feedback_ts ON dds_feedback (ts);
CREATE INDEX idx_dds_feedback_funcode ON dds_feedback (funcode);

CREATE TABLE smoother_state (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    ts        REAL NOT NULL,
    joint_id  INTEGER NOT NULL,
    target    REAL NOT NULL,
    current   REAL NOT NULL,
    sent      REAL NOT NULL,
    step_size REAL,
    dirty     INTEGER NOT NULL DEFAULT 1,
    stream_id INTEGER,
    frame_seq INTEGER
);
CREATE INDEX idx_smoother_ts ON smoother_state (ts);
CREATE INDEX idx_smoother_joint ON smoother_state (joint_id, ts);

CREATE TABLE web_requests (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    ts             REAL NOT NULL,
    endpoint       TEXT NOT NULL,
    method         TEXT NOT NULL DEFAULT 'POST',
    params_json    TEXT,
    response_ms    REAL,
    status_code    INTEGER,
    correlation_id TEXT,
    ok             INTEGER,
    stream_id      INTEGER,
    frame_seq      INTEGER
);
CREATE INDEX idx_web_requests_ts ON web_requests (ts);
CREATE INDEX idx_web_requests_endpoint ON web_requests (endpoint, ts);

CREATE TABLE camera_health (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    ts           REAL NOT NULL,
    camera_id    TEXT NOT NULL,
    actual_fps   REAL,
    target_fps   REAL,
    drop_count   INTEGER,
    motion_score REAL,
    connected    INTEGER,
    resolution_w INTEGER,
    resolution_h INTEGER,
    stalled      INTEGER,
    stream_id    INTEGER,
    frame_seq    INTEGER
);
CREATE INDEX idx_camera_health_ts ON camera_health (ts);
CREATE INDEX idx_camera_health_cam ON camera_health (camera_id, ts);

CREATE TABLE system_events (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    ts             REAL NOT NULL,
    event_type     TEXT NOT NULL,
    source         TEXT NOT NULL,
    detail         TEXT,
    data_json      TEXT,
    correlation_id TEXT,
    level          TEXT DEFAULT 'info',
    stream_id      INTEGER,
    frame_seq      INTEGER
);
CREATE INDEX idx_system_events_ts ON system_events (ts);
CREATE INDEX idx_system_events_type ON system_events (event_type, ts);
"""

MIGRATIONS: tuple[str, ...] = (_V1,)


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
