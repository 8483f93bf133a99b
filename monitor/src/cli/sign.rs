//! Signatures of a report by the operator's own key: `report --sign` and
//! `report verify --signer` call ssh-keygen or minisign.

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::Context as _;
use monitor::{
    printable,
    quoted::quoted,
    regular_file::{self, Purpose},
    report::{Status, Verification},
};

use super::{
    stderr,
    verify::{PROOF, beside},
};

/// What a signature of ssh-keygen is for. A signature for something else does not pass for it.
const NAMESPACE: &str = "monitor-report";

/// First line of each file of minisign, up to its comment.
const MINISIGN: &str = "untrusted comment:";

/// Begin of a public key of minisign, base64: the algorithm `Ed`, and a random byte.
const MINISIGN_KEY: &str = "RW";

/// The most names of a signer that are tried.
const MOST_NAMES: usize = 8;

/// A program that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    SshKeygen,
    Minisign,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::SshKeygen => "ssh-keygen",
            Self::Minisign => "minisign",
        }
    }

    /// Debian's package with the program.
    const fn package(self) -> &'static str {
        match self {
            Self::SshKeygen => "openssh-client",
            Self::Minisign => "minisign",
        }
    }

    /// End of the name of a signature.
    const fn end(self) -> &'static str {
        match self {
            Self::SshKeygen => ".sig",
            Self::Minisign => ".minisig",
        }
    }

    fn command(self, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new(self.name());
        command.args(arguments);
        command
    }

    /// Explains why the program did not start.
    fn not_started(self, error: io::Error) -> anyhow::Error {
        let name = self.name();
        if error.kind() != io::ErrorKind::NotFound {
            return anyhow::Error::new(error).context(format!("start {name}"));
        }
        let package = self.package();
        anyhow::anyhow!("{name} is not installed; install it, on Debian by `apt install {package}`")
    }
}

/// A key that signs.
pub(super) struct Key {
    program: Program,
    path: PathBuf,
}

impl Key {
    /// Tells by the content of the file which program the key is for.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = printable::path(path).to_string();
        let program = program_of(&begin(path)?)
            .with_context(|| format!("{shown} holds no key to sign with"))?;
        Ok(Self {
            program,
            path: std::path::absolute(path).with_context(|| shown)?,
        })
    }

    /// Signs each file. The program may ask for a passphrase on the terminal.
    pub(super) fn sign(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        let files: Result<Vec<_>, _> = files.iter().map(std::path::absolute).collect();
        let files = files.context("the directory of the report")?;
        let before: &[&str] = match self.program {
            Program::SshKeygen => &["-Y", "sign", "-n", NAMESPACE, "-f"],
            Program::Minisign => &["-S", "-s"],
        };
        let mut arguments: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
        arguments.push(self.path.as_os_str());
        if self.program == Program::Minisign {
            arguments.push(OsStr::new("-m"));
        }
        arguments.extend(files.iter().map(|file| file.as_os_str()));
        let name = self.program.name();
        // Standard output can be read by another program.
        let mut command = self.program.command(&arguments);
        let status = command.stdout(Stdio::from(stderr())).status();
        let status = status.map_err(|error| self.program.not_started(error))?;
        anyhow::ensure!(status.success(), "{name} failed ({status})");
        Ok(())
    }
}

/// Ends of the names of the signatures of a file.
pub(super) const SIGNATURES: [&str; 2] = [Program::SshKeygen.end(), Program::Minisign.end()];

fn begin(path: &Path) -> anyhow::Result<String> {
    let bytes = regular_file::read(path, Purpose::Key)
        .with_context(|| format!("read {}", printable::path(path)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Begins of a public key of SSH.
const PUBLIC: [&str; 4] = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];

/// The program for a key that signs.
fn program_of(text: &str) -> anyhow::Result<Program> {
    if text.starts_with("-----BEGIN ") && text.contains("PRIVATE KEY-----")
        || PUBLIC.iter().any(|begin| text.starts_with(begin))
    {
        return Ok(Program::SshKeygen);
    }
    if !text.starts_with(MINISIGN) {
        anyhow::bail!(
            "name the private key of SSH, its public key if an agent has the private one, or the secret key of minisign"
        );
    }
    // The first bytes of a secret key are the algorithm and that of its encryption: `Ed` and
    // `Sc`, or two zeros without a password.
    let key = text.lines().nth(1).unwrap_or_default();
    if key.starts_with("RWRTY0Iy") || key.starts_with("RWQAAEIy") {
        Ok(Program::Minisign)
    } else {
        anyhow::bail!(
            "it is a public key or a signature of minisign: name the secret key, such as ~/.minisign/minisign.key"
        )
    }
}

/// Checks the signatures of a report, and of the file with its proof.
pub(super) fn check(
    signer: Option<&Path>,
    file: &Path,
    proof: Option<&Path>,
    found: &mut Verification,
) -> anyhow::Result<()> {
    let proof = proof.map_or_else(|| beside(file, PROOF), Path::to_owned);
    let mut files = vec![file.to_owned()];
    if proof.exists() {
        files.push(proof);
    }
    let Some(signer) = signer else {
        note_unchecked(&files, found);
        return Ok(());
    };
    let text = begin(signer)?;
    if PUBLIC.iter().any(|begin| text.starts_with(begin)) {
        anyhow::bail!(
            "{} is a public key of SSH: write a list of allowed signers, each line with a name before the key, such as `anna@example.net ssh-ed25519 AAAA…`",
            printable::path(signer)
        );
    }
    for file in files {
        let (status, text) = match signer_of(signer, &text, &file)? {
            Ok(by) => (
                Status::Holds,
                format!("{by} signed {}.", printable::path(&file)),
            ),
            Err(why) => (Status::Changed, why),
        };
        found.push(status, text);
    }
    Ok(())
}

/// Says that there are signatures, and how to check them.
fn note_unchecked(files: &[PathBuf], found: &mut Verification) {
    for file in files {
        for signature in SIGNATURES.map(|end| beside(file, end)) {
            if signature.exists() {
                let signature = printable::path(&signature);
                let text = format!(
                    "The signature {signature} was not checked: --signer names those who may sign."
                );
                found.push(Status::Unknown, text);
            }
        }
    }
}

/// Who signed the file, or why that is unknown.
fn signer_of(signer: &Path, text: &str, file: &Path) -> anyhow::Result<Result<String, String>> {
    let is_minisign =
        text.starts_with(MINISIGN) || text.lines().count() == 1 && text.starts_with(MINISIGN_KEY);
    let program = if is_minisign {
        Program::Minisign
    } else {
        Program::SshKeygen
    };
    let signature = beside(file, program.end());
    if !signature.exists() {
        let (file, signature) = (printable::path(file), printable::path(&signature));
        return Ok(Err(format!(
            "{file} is not signed: there is no {signature}."
        )));
    }
    // The programs would wait for ever at a pipe without a writer.
    regular_file::read(&signature, Purpose::Key)
        .with_context(|| format!("read {}", printable::path(&signature)))?;
    let signature = std::path::absolute(signature).context("the signature")?;
    let signer = std::path::absolute(signer).context("--signer")?;
    match program {
        Program::SshKeygen => ssh(&signer, &signature, file),
        Program::Minisign => minisign(&signer, text, &signature, file),
    }
}

fn ssh(signer: &Path, signature: &Path, file: &Path) -> anyhow::Result<Result<String, String>> {
    let [option_y, option_f, option_s] = ["-Y", "-f", "-s"].map(OsStr::new);
    let (list, signed_by) = (signer.as_os_str(), signature.as_os_str());
    let find = OsStr::new("find-principals");
    let find = [option_y, find, option_s, signed_by, option_f, list];
    let found = output(Program::SshKeygen, &find, b"")?;
    let (shown, of) = (printable::path(signer), printable::path(file));
    let shown_signature = printable::path(signature);
    let names = lines(&found.stdout).filter_map(|line| identity(&line));
    let names: Vec<String> = names.take(MOST_NAMES).collect();
    if !found.status.success() || names.is_empty() {
        return Ok(Err(format!(
            "No signer in {shown} made the signature {shown_signature} of {of}: {}.",
            complaint(&found)
        )));
    }
    let content =
        regular_file::read(file, Purpose::Report).with_context(|| format!("read {of}"))?;
    let mut why = String::new();
    // ssh-keygen gives all names of the first line with the key.
    for name in names {
        let verify = ["verify", "-n", NAMESPACE, "-I", &name].map(OsStr::new);
        let rest = [option_f, list, option_s, signed_by];
        let verify = [&[option_y], &verify[..], &rest[..]].concat();
        let verified = output(Program::SshKeygen, &verify, &content)?;
        if verified.status.success() {
            return Ok(Ok(format!("{}, by the list {shown},", quoted(&name))));
        }
        why = complaint(&verified);
    }
    Ok(Err(format!(
        "The signature {shown_signature} is not of {of}: {why}."
    )))
}

/// A name that the principals of a list stand for: `*@example.net,!root@example.net` stands for
/// itself without the exceptions.
fn identity(principals: &str) -> Option<String> {
    let mut names = principals.split(',');
    let name = names.find(|name| !name.starts_with('!') && !name.is_empty())?;
    Some(name.to_owned())
}

fn minisign(
    signer: &Path,
    text: &str,
    signature: &Path,
    file: &Path,
) -> anyhow::Result<Result<String, String>> {
    let file = std::path::absolute(file).context("the file")?;
    let [option_v, option_p, option_key] = ["-V", "-p", "-P"].map(OsStr::new);
    let [option_x, option_m] = ["-x", "-m"].map(OsStr::new);
    let key = if text.starts_with(MINISIGN) {
        [option_p, signer.as_os_str()]
    } else {
        [option_key, OsStr::new(text.trim())]
    };
    let files = [option_x, signature.as_os_str(), option_m, file.as_os_str()];
    let arguments = [&[option_v], &key[..], &files[..]].concat();
    let verified = output(Program::Minisign, &arguments, b"")?;
    Ok(if verified.status.success() {
        let signer = printable::path(signer);
        Ok(format!("The holder of the minisign key {signer}"))
    } else {
        Err(format!(
            "The signature {} is not of {} by that key: {}.",
            printable::path(signature),
            printable::path(&file),
            complaint(&verified)
        ))
    })
}

/// Runs a program that asks nothing, with `input` on its standard input.
fn output(program: Program, arguments: &[&OsStr], input: &[u8]) -> anyhow::Result<Output> {
    let mut command = program.command(arguments);
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| program.not_started(error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that has seen enough closes its end.
        let _ = stdin.write_all(input);
    }
    let name = program.name();
    child
        .wait_with_output()
        .with_context(|| format!("wait for {name}"))
}

/// The first line of what a program complains about.
fn complaint(output: &Output) -> String {
    let mut said = lines(&output.stderr).chain(lines(&output.stdout));
    let first = said.find(|line| !line.trim().is_empty());
    let first = first.unwrap_or_else(|| output.status.to_string());
    quoted(first.trim().trim_end_matches('.'))
}

/// The lines of bytes that should be text.
fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_principals_has_a_name_that_it_stands_for() {
        for (principals, name) in [
            ("anna@example.net", Some("anna@example.net")),
            ("anna@example.net,bob@example.net", Some("anna@example.net")),
            ("!root@example.net,*@example.net", Some("*@example.net")),
            ("!root@example.net", None),
            ("", None),
        ] {
            assert_eq!(identity(principals).as_deref(), name, "{principals}");
        }
    }

    #[test]
    fn keys_are_told_apart_by_their_content() {
        for (text, program) in [
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3",
                Program::SshKeygen,
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\n", Program::SshKeygen),
            ("ssh-ed25519 AAAAC3 anna\n", Program::SshKeygen),
            ("sk-ssh-ed25519@openssh.com AAAA anna\n", Program::SshKeygen),
            ("untrusted comment: x\nRWRTY0IyAbc\n", Program::Minisign),
            ("untrusted comment: x\nRWQAAEIyAbc\n", Program::Minisign),
        ] {
            assert_eq!(program_of(text).unwrap(), program, "{text}");
        }
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----",
            "untrusted comment: x\nRWQf6LRC\n",
        ] {
            assert!(program_of(text).is_err(), "{text}");
        }
    }
}
