//! What a report carries, so that another person can check it without the store.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    checkpoint::{Checkpoint, SigningKey},
    tree::{Hash, leaf_hash, root_by_path},
};

/// The longest path in a tree whose leaves have numbers of 64 bits.
const LONGEST_PATH: usize = 64;

/// The head of the log at the time of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The signed head, as [`Checkpoint::sign`] writes it.
    pub checkpoint: String,
    /// The public key of the gateway.
    pub key: String,
    /// Hashes that the proofs use, base64. A proof names each by its position.
    pub nodes: Vec<String>,
    /// Number of further lines about the evidence of the file, for which it had no room.
    pub more_lines: u64,
}

/// A line of the log, and the hashes that lead to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Number of the line in the log, counted from 0.
    pub number: u64,
    /// The line.
    pub line: String,
    /// Positions in [`Head::nodes`] of the hashes from the leaf to the root (RFC 6962, section
    /// 2.1.1).
    pub path: Vec<u32>,
}

/// Head and proofs of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// The head.
    pub head: Head,
    /// The line about the file, then lines about its evidence.
    pub proofs: Vec<Proof>,
}

impl Proven {
    /// Puts together lines with the hashes of their paths. The head has no checkpoint yet.
    #[must_use]
    pub fn new(lines: Vec<(u64, String, Vec<Hash>)>, more_lines: u64) -> Self {
        let mut positions: HashMap<Hash, u32> = HashMap::new();
        let mut nodes = Vec::new();
        let mut position = |hash: Hash| {
            *positions.entry(hash).or_insert_with(|| {
                nodes.push(STANDARD.encode(hash));
                u32::try_from(nodes.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let proofs = lines
            .into_iter()
            .map(|(number, line, path)| Proof {
                number,
                line,
                path: path.into_iter().map(&mut position).collect(),
            })
            .collect();
        Self {
            head: Head {
                nodes,
                more_lines,
                ..Head::default()
            },
            proofs,
        }
    }

    /// SHA-256 over everything but the checkpoint and the key, so that no proof can be removed,
    /// added or changed.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let signed = (self.head.more_lines, &self.head.nodes, &self.proofs);
        // Numbers and texts are always JSON.
        Sha256::digest(serde_json::to_vec(&signed).unwrap_or_default()).into()
    }

    /// Signs the head.
    pub fn sign(&mut self, checkpoint: &Checkpoint, key: &SigningKey) {
        self.head.checkpoint = checkpoint.sign(key);
        self.head.key = key.public(&checkpoint.origin).to_string();
    }

    /// True if the line of this proof is in the log that the checkpoint is the head of.
    #[must_use]
    pub fn is_in_log(&self, proof: &Proof, checkpoint: &Checkpoint) -> bool {
        let node = |position: &u32| {
            let text = self.head.nodes.get(*position as usize)?;
            Hash::try_from(STANDARD.decode(text).ok()?).ok()
        };
        if proof.path.len() > LONGEST_PATH {
            return false;
        }
        let path: Option<Vec<Hash>> = proof.path.iter().map(node).collect();
        let leaf = leaf_hash(proof.line.as_bytes());
        let root = path.and_then(|path| root_by_path(leaf, proof.number, checkpoint.size, &path));
        root == Some(checkpoint.root)
    }
}
