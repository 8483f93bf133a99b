//! A writer of MMDB databases: tree, data section, metadata (format 2.0).

use std::collections::HashMap;

use super::reference::{Block, number};

/// A value of the data section.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Text(String),
    Number(u32),
    Map(Vec<(&'static str, Value)>),
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// The target of a record in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Nothing,
    Node(usize),
    /// Offset in the data section, in bytes.
    Data(usize),
}

/// A database under construction.
pub(crate) struct Writer {
    /// True: one tree for both families, with IPv4 under `::/96`. False: only
    /// IPv4.
    both: bool,
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
    offsets: HashMap<Value, usize>,
    database_type: String,
}

impl Writer {
    pub(crate) fn of_both_families(database_type: &str) -> Self {
        Self::new(database_type, true)
    }

    pub(crate) fn of_ipv4(database_type: &str) -> Self {
        Self::new(database_type, false)
    }

    fn new(database_type: &str, both: bool) -> Self {
        Self {
            both,
            nodes: vec![[Record::Nothing; 2]],
            data: Vec::new(),
            offsets: HashMap::new(),
            database_type: database_type.to_owned(),
        }
    }

    /// Adds a network that does not overlap any network added before.
    pub(crate) fn add(&mut self, block: Block, value: &Value) {
        let offset = match self.offsets.get(value) {
            Some(offset) => *offset,
            None => self.append(value),
        };
        let (bits, length) = self.path(block);
        self.set(bits, length, Record::Data(offset));
    }

    /// Makes an IPv6 network repeat the IPv4 part of the tree.
    pub(crate) fn alias(&mut self, block: Block) {
        let mut at = 0;
        for _ in 0..96 {
            let Record::Node(node) = self.nodes[at][0] else {
                panic!("there is no IPv4 part");
            };
            at = node;
        }
        let (bits, length) = self.path(block);
        self.set(bits, length, Record::Node(at));
    }

    /// The address bits of a network from the highest, and their number.
    fn path(&self, block: Block) -> (u128, u32) {
        let bits = number(block.first());
        match (block.first().is_ipv4(), self.both) {
            (true, true) => (bits, block.length + 96),
            (true, false) => (bits << 96, block.length),
            (false, true) => (bits, block.length),
            (false, false) => panic!("an IPv6 network in a tree of IPv4"),
        }
    }

    fn set(&mut self, bits: u128, length: u32, record: Record) {
        let side = |depth: u32| usize::from(bits >> (127 - depth) & 1 == 1);
        let mut at = 0;
        for depth in 0..length - 1 {
            let next = self.nodes[at][side(depth)];
            at = match next {
                Record::Node(node) => node,
                Record::Nothing => {
                    self.nodes.push([Record::Nothing; 2]);
                    let new = self.nodes.len() - 1;
                    self.nodes[at][side(depth)] = Record::Node(new);
                    new
                }
                Record::Data(_) => panic!("this network lies in another one"),
            };
        }
        let last = &mut self.nodes[at][side(length - 1)];
        assert_eq!(*last, Record::Nothing, "this network holds another one");
        *last = record;
    }

    fn append(&mut self, value: &Value) -> usize {
        let offset = self.data.len();
        encode(value, &mut self.data);
        self.offsets.insert(value.clone(), offset);
        offset
    }

    /// The finished file, with records of 24, 28 or 32 bits.
    pub(crate) fn finish(&self, record_size: u16) -> Vec<u8> {
        let count = self.nodes.len();
        let number = |record: Record| {
            let number = match record {
                Record::Nothing => count,
                Record::Node(node) => node,
                Record::Data(offset) => count + 16 + offset,
            };
            u32::try_from(number).unwrap()
        };
        let mut file = Vec::new();
        for [left, right] in &self.nodes {
            node(number(*left), number(*right), record_size, &mut file);
        }
        file.extend([0; 16]);
        file.extend(&self.data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        self.metadata(record_size, &mut file);
        file
    }

    fn metadata(&self, record_size: u16, file: &mut Vec<u8>) {
        let nodes = u32::try_from(self.nodes.len()).unwrap();
        let ip_version = if self.both { 6 } else { 4 };
        let sized = |number: u16| Sized::Short(number);
        let fields = [
            ("binary_format_major_version", sized(2)),
            ("binary_format_minor_version", sized(0)),
            ("ip_version", sized(ip_version)),
            ("record_size", sized(record_size)),
            ("node_count", Sized::Word(nodes)),
            ("build_epoch", Sized::Long(1_700_000_000)),
            ("database_type", Sized::Text(&self.database_type)),
            ("description", Sized::EmptyMap),
            ("languages", Sized::EmptyArray),
        ];
        control(MAP, fields.len(), file);
        for (name, value) in fields {
            encode(&text(name), file);
            value.encode(file);
        }
    }
}

/// Values of the metadata, whose types are fixed.
enum Sized<'a> {
    Short(u16),
    Word(u32),
    Long(u64),
    Text(&'a str),
    EmptyMap,
    EmptyArray,
}

impl Sized<'_> {
    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Short(number) => unsigned(SHORT, &number.to_be_bytes(), out),
            Self::Word(number) => unsigned(WORD, &number.to_be_bytes(), out),
            Self::Long(number) => unsigned(LONG, &number.to_be_bytes(), out),
            Self::Text(value) => encode(&text(value), out),
            Self::EmptyMap => control(MAP, 0, out),
            Self::EmptyArray => control(ARRAY, 0, out),
        }
    }
}

const TEXT: u8 = 2;
const SHORT: u8 = 5;
const WORD: u8 = 6;
const MAP: u8 = 7;
const LONG: u8 = 9;
const ARRAY: u8 = 11;

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(TEXT, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Number(number) => unsigned(WORD, &number.to_be_bytes(), out),
        Value::Map(entries) => {
            control(MAP, entries.len(), out);
            for (name, value) in entries {
                encode(&text(name), out);
                encode(value, out);
            }
        }
    }
}

/// Writes a number without its leading zero bytes.
fn unsigned(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    control(kind, bytes.len() - zeros, out);
    out.extend(&bytes[zeros..]);
}

/// Writes the type and size before a value. Types above 7 need an extra byte.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (size, more) = match size {
        0..29 => (size, vec![]),
        29..285 => (29, vec![u8::try_from(size - 29).unwrap()]),
        _ => {
            let more = u16::try_from(size - 285).expect("a value of less than 64 KiB");
            (30, more.to_be_bytes().to_vec())
        }
    };
    let size = u8::try_from(size).unwrap();
    if kind > 7 {
        out.extend([size, kind - 7]);
    } else {
        out.push(kind << 5 | size);
    }
    out.extend(more);
}

fn node(left: u32, right: u32, record_size: u16, out: &mut Vec<u8>) {
    let [left, right] = [left.to_be_bytes(), right.to_be_bytes()];
    match record_size {
        24 => {
            assert_eq!((left[0], right[0]), (0, 0), "too many nodes for 24 bits");
            out.extend([&left[1..], &right[1..]].concat());
        }
        28 => {
            assert!(left[0] < 16 && right[0] < 16, "too many nodes for 28 bits");
            out.extend(&left[1..]);
            out.push(left[0] << 4 | right[0]);
            out.extend(&right[1..]);
        }
        32 => out.extend([left, right].concat()),
        other => panic!("records of {other} bits"),
    }
}
