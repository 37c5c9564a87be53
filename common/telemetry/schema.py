"""The seed's six tables, shared by a stand-alone telemetry file and by rigbus's store; columns only added.

TABLES is released: it is never changed, a later version adds columns by a list of its own.
"""

TABLES = """
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
NAMES = ("dds_commands", "dds_feedback", "smoother_state", "web_requests", "camera_health", "system_events")
