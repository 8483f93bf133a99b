//! Reads pcapng: sections that consist of blocks, and interfaces that can have
//! different link types.

use jiff::Timestamp;
use pcap_parser::{
    Block, PcapError,
    nom::IResult,
    pcapng::{parse_block_be, parse_block_le},
    traits::PcapNGPacketBlock,
};

use super::{
    CaptureNotes, Frame, InterfaceCounts, InterfaceNotes, LinkType, Problem, blocks::INCOMING,
    input::Input, notes,
};
use crate::policy::Direction;

/// The type of a Section Header Block, which is the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Bytes read first of a block: its type, its length, and the next word, which in a
/// section header tells the byte order.
const BLOCK_START: u64 = 12;

// Block types: draft-ietf-opsawg-pcapng, section 11.1.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Blocks with counts of an interface that are longer than this are not read, in bytes.
const LONGEST_COUNTS: u64 = 64 << 10;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

type ParseBlock = fn(&[u8]) -> IResult<&[u8], Block<'_>, PcapError<&[u8]>>;

/// The state of the section that is being read.
#[derive(Default)]
pub(super) struct PcapNg {
    big_endian: bool,
    /// Comment of the section.
    comment: Option<String>,
    interfaces: Vec<Interface>,
}

struct Interface {
    link_type: LinkType,
    /// Maximum number of bytes stored of a frame; 0 means no limit.
    snap_length: u32,
    /// Units of a packet's time in a second; `None` if the interface states an impossible
    /// number.
    units: Option<u64>,
    /// Seconds to add to each time of a packet.
    offset: i64,
    notes: InterfaceNotes,
}

/// A packet whose interface is not checked yet.
struct Packet {
    interface: u32,
    frame: Frame,
}

impl PcapNg {
    /// Returns the next frame, or `None` at the end of the file.
    pub(super) fn next_frame(&mut self, input: &mut Input) -> Result<Option<Frame>, Problem> {
        while input.begin(BLOCK_START)? {
            if let Some(packet) = self.next_block(input)? {
                let frame = self.accept(packet, input)?;
                input.packet_done();
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Reads the rest of the block whose start is in `input`. Returns a packet if the
    /// block holds one.
    fn next_block(&mut self, input: &mut Input) -> Result<Option<Packet>, Problem> {
        let [kind, length, byte_order] = self.block_start(input)?;
        let length = u64::from(length);
        match kind {
            SECTION_HEADER if byte_order != BYTE_ORDER_MAGIC => Err(input.malformed()),
            SECTION_HEADER | INTERFACE_DESCRIPTION | SIMPLE_PACKET | ENHANCED_PACKET => {
                input.complete(length)?;
                self.read_block(input)
            }
            // Counts are not needed to read frames, so damaged ones are no error.
            INTERFACE_STATISTICS if (BLOCK_START..LONGEST_COUNTS).contains(&length) => {
                input.complete(length)?;
                self.read_block(input).or(Ok(None))
            }
            OBSOLETE_PACKET => Err(Problem::ObsoletePacketBlock {
                offset: input.offset(),
                packet: input.next_packet(),
            }),
            _ if length < BLOCK_START => Err(input.malformed()),
            _ => input.skip(length).map(|()| None),
        }
    }

    /// Returns type, length and next word of a block. If it is a section header, first
    /// sets the byte order of the section.
    fn block_start(&mut self, input: &Input) -> Result<[u32; 3], Problem> {
        let (words, _) = input.record().as_chunks::<4>();
        let &[kind, length, byte_order] = words else {
            return Err(input.malformed());
        };
        if kind == MAGIC {
            self.big_endian = byte_order == BYTE_ORDER_MAGIC.to_be_bytes();
        }
        let number = if self.big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        Ok([number(kind), number(length), number(byte_order)])
    }

    /// Parses a whole block. If the block describes an interface, stores the interface. If
    /// the block holds a packet, returns the packet.
    fn read_block(&mut self, input: &Input) -> Result<Option<Packet>, Problem> {
        let parse: ParseBlock = if self.big_endian {
            parse_block_be
        } else {
            parse_block_le
        };
        // All bytes of the block are there. If the parser needs more, a length inside
        // the block is wrong.
        let Ok((_, block)) = parse(input.record()) else {
            return Err(input.malformed());
        };
        match block {
            Block::SectionHeader(section) => {
                self.interfaces.clear();
                self.comment = notes::comment(&section.options);
            }
            Block::InterfaceDescription(description) => self.interfaces.push(Interface {
                link_type: description.linktype.into(),
                snap_length: description.snaplen,
                units: description.ts_resolution(),
                offset: description.ts_offset(),
                notes: InterfaceNotes {
                    name: description
                        .if_name()
                        .and_then(Result::ok)
                        .and_then(notes::text),
                    direction: match description.if_description() {
                        Some(Ok(INCOMING)) => Direction::In,
                        _ => Direction::Out,
                    },
                    counts: None,
                },
            }),
            Block::EnhancedPacket(block) => {
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                let mut frame = frame(&block);
                frame.at = self.time(block.if_id, ticks);
                frame.interface = block.if_id;
                frame.comment = notes::comment(&block.options);
                return Ok(Some(Packet {
                    interface: block.if_id,
                    frame,
                }));
            }
            Block::SimplePacket(block) => return Ok(Some(self.simple_packet(&frame(&block)))),
            Block::InterfaceStatistics(block) => {
                let id = block.if_id;
                let counts = InterfaceCounts::read(&block, |ticks| self.time(id, ticks));
                if let Some(interface) = self.interfaces.get_mut(id as usize) {
                    interface.notes.counts = Some(counts);
                }
            }
            Block::NameResolution(_)
            | Block::SystemdJournalExport(_)
            | Block::DecryptionSecrets(_)
            | Block::ProcessInformation(_)
            | Block::Custom(_)
            | Block::Unknown(_) => {}
        }
        Ok(None)
    }
}

impl PcapNg {
    /// Returns the packet of a Simple Packet Block. Such a block belongs to the first
    /// interface. It holds the length on the wire but not the captured length, which
    /// follows from the interface's limit.
    fn simple_packet(&self, padded: &Frame) -> Packet {
        let snap_length = self
            .interfaces
            .first()
            .map_or(0, |interface| interface.snap_length);
        let kept = match snap_length {
            0 => padded.data.len(),
            limit => padded.data.len().min(limit as usize),
        };
        Packet {
            interface: 0,
            frame: Frame {
                data: padded.data[..kept].to_vec(),
                wire_length: padded.wire_length,
                at: None,
                interface: 0,
                comment: None,
            },
        }
    }

    /// What the section says about itself.
    pub(super) fn notes(&self) -> CaptureNotes {
        CaptureNotes {
            comment: self.comment.clone(),
            interfaces: self
                .interfaces
                .iter()
                .map(|interface| interface.notes.clone())
                .collect(),
        }
    }

    /// The time of a packet, from its number of units since 1970.
    fn time(&self, interface: u32, ticks: u64) -> Option<Timestamp> {
        let interface = self.interfaces.get(usize::try_from(interface).ok()?)?;
        let units = i128::from(interface.units.filter(|units| *units > 0)?);
        let nanoseconds = i128::from(ticks) * 1_000_000_000 / units;
        let offset = i128::from(interface.offset) * 1_000_000_000;
        Timestamp::from_nanosecond(nanoseconds + offset).ok()
    }

    /// Returns the frame if its interface is Ethernet, otherwise an error.
    fn accept(&self, packet: Packet, input: &Input) -> Result<Frame, Problem> {
        let number = packet.interface;
        let interface = usize::try_from(number)
            .ok()
            .and_then(|index| self.interfaces.get(index));
        match interface {
            Some(interface) if interface.link_type == LinkType::ETHERNET => Ok(packet.frame),
            Some(interface) => Err(Problem::InterfaceLinkType {
                interface: number,
                packet: input.next_packet(),
                link_type: interface.link_type,
            }),
            None => Err(Problem::UnknownInterface {
                offset: input.offset(),
                packet: input.next_packet(),
                interface: number,
            }),
        }
    }
}

/// Returns the frame of a block, without padding.
fn frame(block: &impl PcapNGPacketBlock) -> Frame {
    Frame {
        data: block.packet_data().to_vec(),
        wire_length: block.orig_len(),
        at: None,
        interface: 0,
        comment: None,
    }
}
