//! Generic netlink: families of requests that the kernel numbers when it starts.

use std::io;

use netlink_sys::protocols::NETLINK_GENERIC;

use crate::netlink::{ask, attribute, list, number, value};

// Values of the kernel's uapi header genetlink.h.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// Size of the header of a generic message.
const HEADER: usize = 4;

/// The kernel's number of a family.
#[derive(Clone, Copy)]
pub(super) struct Family(u16);

impl Family {
    /// Requests a list. Returns the attributes of each message.
    pub(super) fn list(self, command: u8) -> io::Result<Vec<Vec<u8>>> {
        let mut bodies = list(NETLINK_GENERIC, self.0, &[command, 1, 0, 0])?;
        for body in &mut bodies {
            body.drain(..HEADER.min(body.len()));
        }
        Ok(bodies)
    }

    /// Sends a request that has one answer. Returns the attributes of the answer.
    pub(super) fn ask(self, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
        let request = [&[command, 1, 0, 0], attributes].concat();
        let mut answer = ask(NETLINK_GENERIC, self.0, &request)?;
        answer.drain(..HEADER.min(answer.len()));
        Ok(answer)
    }

    /// Finds a family by its name; `None` if the kernel does not have it.
    pub(super) fn named(family: &str) -> io::Result<Option<Self>> {
        let mut name = family.as_bytes().to_vec();
        name.push(0);
        let control = Self(GENL_ID_CTRL);
        let request = attribute(CTRL_ATTR_FAMILY_NAME, &name);
        let answer = match control.ask(CTRL_CMD_GETFAMILY, &request) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            answer => answer?,
        };
        let id = value(&answer, CTRL_ATTR_FAMILY_ID).and_then(number);
        let missing = || io::Error::other(format!("the kernel gave no number of {family}"));
        id.map(Self).map(Some).ok_or_else(missing)
    }
}
