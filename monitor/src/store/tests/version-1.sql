-- A store of schema version 1, as `.dump` of sqlite3 writes it.
PRAGMA application_id = 1299148357;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    clean INTEGER NOT NULL
) STRICT;

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
INSERT INTO state VALUES (0, 1);
INSERT INTO instance VALUES (1, -81985529216486896, x'07070707070707070707070707070707', 1795176000000, 1795953600000, 41);
INSERT INTO instance VALUES (2, 5, NULL, 1794225600000, 1795176000000, 7);
INSERT INTO generation VALUES (1, 3, x'a1b2', 1795176000000, NULL);
INSERT INTO interface VALUES (1, 'br-lan');
INSERT INTO list VALUES (1, '["strict","all"]');
INSERT INTO list VALUES (2, '["all"]');
INSERT INTO device VALUES (0, x'', 0, 0, 0, 0, 0, 0, 0);
INSERT INTO device VALUES (1, x'02ee00000001', 1795694393000, 1795953850000, 20783, 20786, 1, 9, 1);
INSERT INTO flow_end VALUES (1, 1, x'0a000001', 6, 443, 20786);
INSERT INTO flow_end VALUES (2, 1, x'20010db8000000000000000000000001', 17, 0, 20783);
INSERT INTO bucket VALUES (5985648, 12);
INSERT INTO bucket VALUES (5986512, 1);
INSERT INTO count VALUES (5985648, 1, 1, 0, 1, 0, 1, 1, 4, 400, 1, 100, -7, 3500);
INSERT INTO count VALUES (5985648, 1, 2, 1, 1, 1, 2, 1, 5, 500, 0, 0, 0, 10);
INSERT INTO count VALUES (5986512, 1, 1, 0, 1, 0, 1, 1, 5, 500, 0, 0, 3, 250);
INSERT INTO total VALUES (1, 1, 'written', 9, 900, 1, 100, NULL);
INSERT INTO total VALUES (1, 2, 'written', 10, 1000, 0, 0, NULL);
INSERT INTO total VALUES (1, 2, 'expired', 5, 500, 0, 0, 1793361600);
INSERT INTO claim VALUES (1, 'dns', 'a.example', x'c0000235', '["b.example"]', NULL, 1795953599000, 1795953600000);
INSERT INTO device_fact VALUES (1, 'host-name', 'phone', 'dnsmasq', 1795953600000, 1795953600000);
INSERT INTO encrypted VALUES (1, 'dot', x'09090909', 853, '', 1795953600000, 1795953600000);
INSERT INTO attachment VALUES (1, 1, 'generic', 3, 1795176000000, NULL);
INSERT INTO loss VALUES (5986512, 'full', 'all', 2, 200);
INSERT INTO clock VALUES (1795176000000, 1);
INSERT INTO event VALUES (1, 1795953600000, 'new-device', 1, '{}');
COMMIT;
