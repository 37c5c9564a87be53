"""A database as the robot arm's own program made it: its six tables, nothing of ours; empty, or with rows."""

import json
import sqlite3
from pathlib import Path

T = 1_760_000_000.0
TABLES = """
CREATE TABLE IF NOT EXISTS dds_commands (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    ts          REAL NOT NULL,
    ts_mono     REAL NOT NULL,
    seq         INTEGER,
    funcode     INTEGER NOT NULL,
    joint_id    INTEGER,
    target_value REAL,
    data_json   TEXT,
    correlation_id TEXT,
    raw_len     INTEGER
);
CREATE INDEX IF NOT EXISTS idx_dds_commands_ts ON dds_commands(ts);
CREATE INDEX IF NOT EXISTS idx_dds_commands_cid ON dds_commands(correlation_id);
CREATE INDEX IF NOT EXISTS idx_dds_commands_funcode ON dds_commands(funcode);
CREATE TABLE IF NOT EXISTS dds_feedback (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    ts          REAL NOT NULL,
    ts_mono     REAL NOT NULL,
    seq         INTEGER,
    funcode     INTEGER NOT NULL,
    angle0      REAL, angle1 REAL, angle2 REAL, angle3 REAL,
    angle4      REAL, angle5 REAL, angle6 REAL,
    power_status  INTEGER,
    enable_status INTEGER,
    error_status  INTEGER,
    recv_status   INTEGER,
    exec_status   INTEGER
);
CREATE INDEX IF NOT EXISTS idx_dds_feedback_ts ON dds_feedback(ts);
CREATE INDEX IF NOT EXISTS idx_dds_feedback_funcode ON dds_feedback(funcode);
CREATE TABLE IF NOT EXISTS smoother_state (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    ts          REAL NOT NULL,
    joint_id    INTEGER NOT NULL,
    target      REAL NOT NULL,
    current     REAL NOT NULL,
    sent        REAL NOT NULL,
    step_size   REAL,
    dirty       INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS idx_smoother_ts ON smoother_state(ts);
CREATE INDEX IF NOT EXISTS idx_smoother_joint ON smoother_state(joint_id, ts);
CREATE TABLE IF NOT EXISTS web_requests (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    ts          REAL NOT NULL,
    endpoint    TEXT NOT NULL,
    method      TEXT NOT NULL DEFAULT 'POST',
    params_json TEXT,
    response_ms REAL,
    status_code INTEGER,
    correlation_id TEXT,
    ok          INTEGER
);
CREATE INDEX IF NOT EXISTS idx_web_requests_ts ON web_requests(ts);
CREATE INDEX IF NOT EXISTS idx_web_requests_endpoint ON web_requests(endpoint, ts);
CREATE TABLE IF NOT EXISTS camera_health (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    ts          REAL NOT NULL,
    camera_id   TEXT NOT NULL,
    actual_fps  REAL,
    target_fps  REAL,
    drop_count  INTEGER,
    motion_score REAL,
    connected   INTEGER,
    resolution_w INTEGER,
    resolution_h INTEGER,
    stalled     INTEGER
);
CREATE INDEX IF NOT EXISTS idx_camera_health_ts ON camera_health(ts);
CREATE INDEX IF NOT EXISTS idx_camera_health_cam ON camera_health(camera_id, ts);
CREATE TABLE IF NOT EXISTS system_events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    ts          REAL NOT NULL,
    event_type  TEXT NOT NULL,
    source      TEXT NOT NULL,
    detail      TEXT,
    data_json   TEXT,
    correlation_id TEXT,
    level       TEXT DEFAULT 'info'
);
CREATE INDEX IF NOT EXISTS idx_system_events_ts ON system_events(ts);
CREATE INDEX IF NOT EXISTS idx_system_events_type ON system_events(event_type, ts);
"""


def make(path: Path) -> Path:
    """Empty, in WAL mode, as its program left it."""
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA journal_mode=WAL")
    conn.executescript(TABLES)
    conn.close()
    return path


def fill(path: Path) -> Path:
    """Ten seconds: single and multi-joint commands, angles at 10 Hz that follow with 1 degree less, status between."""
    conn = sqlite3.connect(path)
    for i in range(100):
        t = T + i / 10
        angles = [i + joint for joint in range(7)]
        columns = "ts, ts_mono, seq, funcode, angle0, angle1, angle2, angle3, angle4, angle5, angle6"
        conn.execute(
            f"INSERT INTO dds_feedback ({columns}) VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)", (t, t, i, *angles)
        )
        status = (t + 0.05, t, i, 1, 1, 0)
        columns = "ts, ts_mono, seq, funcode, power_status, enable_status, error_status"
        conn.execute(f"INSERT INTO dds_feedback ({columns}) VALUES (?, ?, ?, 3, ?, ?, ?)", status)
    single = "INSERT INTO dds_commands (ts, ts_mono, seq, funcode, joint_id, target_value) VALUES (?, ?, ?, 1, ?, ?)"
    conn.executemany(single, [(T + 1, 1.0, 1, 2, 15.0), (T + 3, 3.0, 2, 6, 40.0)])
    data = json.dumps({"mode": 1, **{f"angle{joint}": 25.0 + joint for joint in range(7)}})
    many = "INSERT INTO dds_commands (ts, ts_mono, seq, funcode, data_json) VALUES (?, ?, ?, 2, ?)"
    conn.execute(many, (T + 2, 2.0, 3, data))
    smoother = "INSERT INTO smoother_state (ts, joint_id, target, current, sent, step_size) VALUES (?, ?, 9, 1, 2, 0.5)"
    conn.executemany(smoother, [(T + i, joint) for i in range(3) for joint in range(7)])
    web = "INSERT INTO web_requests (ts, endpoint, response_ms, status_code, ok) VALUES (?, ?, ?, 200, 1)"
    conn.executemany(web, [(T + i / 100, "/api/command/set-joint", float(i + 1)) for i in range(100)])
    conn.execute(web, (T + 1, "/api/state", None))
    camera = "INSERT INTO camera_health (ts, camera_id, actual_fps, target_fps, connected) VALUES (?, ?, 29.5, 30, 1)"
    conn.executemany(camera, [(T, "front"), (T + 5, "side")])
    event = "INSERT INTO system_events (ts, event_type, source, detail, level) VALUES (?, ?, ?, ?, ?)"
    conn.execute(event, (T, "connect", "dds", "eth0", "info"))
    conn.execute(event, (T + 10, "error", "web", "lost", "error"))
    conn.commit()
    conn.close()
    return path
