//! The schema of the evidence store.
//!
//! ```text
//! instance ◄── total ──► list            sums ever written, and sums removed since
//!    ▲                     ▲
//!    └───── count ─────────┘             packets of one bucket of five minutes or one hour
//!             │ ▲
//!             │ └ bucket ◄── bucket_sum  its span; its sums by list, of what devices sent
//!             ▼
//!          flow_end ◄── claim            device, destination, protocol, port; its names
//!             │
//!             ▼
//!          device ◄── device_fact, encrypted, event ◄── mark_count
//!
//! generation ─► ruleset                  texts of the policies, by hash of the ruleset
//! setup                                  program, kernel and host, each time one changed
//!
//! log ◄── reported                       lines of the Merkle log; those about reports
//! log_base                               the log's name, and the tree of its removed leaves
//! unlogged                               devices of buckets whose rows changed since their line
//! ```
//!
//! `count` is ordered by time first. So the rows of the current five minutes share few
//! pages, which a drain every ten seconds writes again and again. Merging and removing
//! work on contiguous pages. A query about one device seeks once per bucket.
//!
//! Times are milliseconds since 1970-01-01T00:00:00Z, except in `count`, where they are
//! seconds after the begin of the bucket. An empty `mac` stands for all other devices, an
//! empty `destination` for all other destinations, an empty `server` for none.

/// Name of the database file in the state directory.
pub const FILE: &str = "evidence.db";

/// Marks the file as one of this program (`PRAGMA application_id`): the bytes `MonE`.
pub(super) const APPLICATION: i64 = 0x4d6f_6e45;

/// Size of a page in bytes.
pub(super) const PAGE: u32 = 4096;

/// The steps that lead from each version of the schema to the next. Step 0 creates the
/// tables in an empty file.
pub(super) const STEPS: &[&str] = &[CREATE, EARLIEST, REPORT, LOG, SUMS];

/// Row number of the device that stands for all other devices.
pub(super) const OTHER_DEVICES: i64 = 0;

/// `total.reason` of the sums that were ever written.
pub(super) const WRITTEN: &str = "written";

const CREATE: &str = "
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    clean INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (0, 1);

CREATE TABLE instance (
    id INTEGER PRIMARY KEY,
    token INTEGER NOT NULL UNIQUE,
    boot BLOB,
    created INTEGER NOT NULL,
    used INTEGER NOT NULL,
    drained INTEGER
) STRICT;

CREATE TABLE generation (
    instance INTEGER NOT NULL,
    number INTEGER NOT NULL,
    ruleset BLOB NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (instance, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE interface (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE list (id INTEGER PRIMARY KEY, policies TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE device (
    id INTEGER PRIMARY KEY,
    mac BLOB NOT NULL UNIQUE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    created INTEGER NOT NULL,
    day INTEGER NOT NULL,
    new_ends INTEGER NOT NULL,
    new_claim_bytes INTEGER NOT NULL,
    new_events INTEGER NOT NULL
) STRICT;
INSERT INTO device VALUES (0, x'', 0, 0, 0, 0, 0, 0, 0);

CREATE TABLE flow_end (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    destination BLOB NOT NULL,
    protocol INTEGER NOT NULL,
    port INTEGER NOT NULL,
    day INTEGER NOT NULL,
    UNIQUE (destination, device, protocol, port)
) STRICT;

CREATE TABLE bucket (
    number INTEGER PRIMARY KEY,
    span INTEGER NOT NULL
) STRICT;

CREATE TABLE count (
    bucket INTEGER NOT NULL,
    device INTEGER NOT NULL,
    flow_end INTEGER NOT NULL,
    unreadable INTEGER NOT NULL,
    interface INTEGER NOT NULL,
    direction INTEGER NOT NULL,
    list INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    passed_packets INTEGER NOT NULL,
    passed_bytes INTEGER NOT NULL,
    dropped_packets INTEGER NOT NULL,
    dropped_bytes INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (bucket, device, flow_end, unreadable, interface, direction, list, instance)
) STRICT, WITHOUT ROWID;

CREATE TABLE total (
    instance INTEGER NOT NULL,
    list INTEGER NOT NULL,
    reason TEXT NOT NULL,
    passed_packets INTEGER NOT NULL,
    passed_bytes INTEGER NOT NULL,
    dropped_packets INTEGER NOT NULL,
    dropped_bytes INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (instance, list, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE claim (
    flow_end INTEGER NOT NULL,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    server BLOB NOT NULL,
    chain TEXT,
    ech TEXT,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (flow_end, source, name, server)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_fact (
    device INTEGER NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    source TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (device, kind, value, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE encrypted (
    device INTEGER NOT NULL,
    kind TEXT NOT NULL,
    address BLOB NOT NULL,
    port INTEGER NOT NULL,
    name TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (device, kind, address, port, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE attachment (
    id INTEGER PRIMARY KEY,
    interface INTEGER NOT NULL,
    mode TEXT NOT NULL,
    generation INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER
) STRICT;

CREATE TABLE loss (
    bucket INTEGER NOT NULL,
    reason TEXT NOT NULL,
    policy TEXT NOT NULL,
    packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (bucket, reason, policy)
) STRICT, WITHOUT ROWID;

CREATE TABLE clock (at INTEGER PRIMARY KEY, synchronised INTEGER NOT NULL) STRICT;

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    device INTEGER,
    json TEXT NOT NULL
) STRICT;
CREATE INDEX event_device ON event (device);
";

/// Adds to each bucket the begin of its earliest packets, in seconds since
/// 1970-01-01T00:00:00Z, so that a query for a period skips later buckets.
const EARLIEST: &str = "
ALTER TABLE bucket ADD COLUMN earliest INTEGER NOT NULL DEFAULT 0;
UPDATE bucket SET earliest = coalesce(
    (SELECT min(first) FROM count WHERE count.bucket = number), 0) + number * 300;
";

/// What a report shows besides flows: the texts of the policies of each ruleset, and which
/// program ran on which host. `mark_count` has the rows of the hour of a mark as they were at
/// the mark, so that the packets before it and after it can be told apart.
const REPORT: &str = "
CREATE TABLE setup (at INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;

CREATE TABLE ruleset (
    hash TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    policies TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE mark_count (
    mark INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    device INTEGER NOT NULL,
    flow_end INTEGER NOT NULL,
    list INTEGER NOT NULL,
    packets INTEGER NOT NULL,
    PRIMARY KEY (mark, bucket, device, flow_end, list)
) STRICT, WITHOUT ROWID;
";

/// The Merkle log of evidence. A line about the packets of a bucket and device, or about a
/// claim, has a salt: its text follows from the rows. Any other line has its text. An erased
/// line has neither.
const LOG: &str = "
CREATE TABLE log (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    bucket INTEGER,
    device INTEGER,
    salt BLOB,
    line TEXT,
    leaf BLOB NOT NULL
) STRICT;
CREATE INDEX log_packets ON log (bucket, device) WHERE bucket IS NOT NULL;

ALTER TABLE claim ADD COLUMN line INTEGER;
CREATE INDEX claim_line ON claim (line) WHERE line IS NOT NULL;

CREATE TABLE log_base (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    nodes BLOB NOT NULL
) STRICT;

CREATE TABLE reported (
    sha256 TEXT NOT NULL,
    format TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (sha256, format)
) STRICT, WITHOUT ROWID;

CREATE TABLE unlogged (
    bucket INTEGER NOT NULL,
    device INTEGER NOT NULL,
    PRIMARY KEY (bucket, device)
) STRICT, WITHOUT ROWID;
INSERT INTO unlogged SELECT DISTINCT bucket, device FROM count;
";

/// Sums of the rows of `count` about what devices sent, so that a time chart of everything does
/// not read these rows.
const SUMS: &str = "
CREATE TABLE bucket_sum (
    bucket INTEGER NOT NULL,
    list INTEGER NOT NULL,
    passed_packets INTEGER NOT NULL,
    dropped_packets INTEGER NOT NULL,
    PRIMARY KEY (bucket, list)
) STRICT, WITHOUT ROWID;
INSERT INTO bucket_sum SELECT bucket, list, sum(passed_packets), sum(dropped_packets)
    FROM count WHERE direction = 0 GROUP BY bucket, list;
";
