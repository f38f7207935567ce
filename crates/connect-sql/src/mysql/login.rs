//! Greeting, TLS and login.
//!
//! How passwords are proved is `mysql_common`'s; which ways are taken at all is
//! said here. A password in the clear goes through TLS only, and one that the
//! server gets to keep in the clear only to a server that was verified.

use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context as Proof, Response};
use mysql_common::packets::AuthPlugin;
use weir_core::{Error, Result, Secret, SourceFault};

use super::config::Target;
use super::failure;
use super::wire::{LONG, Reader, Wire, put_text};

/// Capabilities, by their names in the protocol.
const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const LOCAL_FILES: u32 = 1 << 7;
const PROTOCOL_41: u32 = 1 << 9;
const TLS: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const PLUGIN_AUTH_LENGTH: u32 = 1 << 21;

/// MariaDB's own: columns say more of their types, such as that they hold JSON.
const EXTENDED_METADATA: u32 = 1 << 3;

const WANTED: u32 =
    LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH | PLUGIN_AUTH_LENGTH;

/// `utf8mb4_general_ci`, which every server knows.
const UTF8MB4: u8 = 45;

/// Packets that a login may take.
const MOST_STEPS: usize = 16;

/// What the server says first.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Its version, such as `8.0.36` or `10.11.6-MariaDB`.
    pub version: String,
    /// The number of the session, to kill it by.
    pub session: u32,
    capabilities: u32,
    extended: u32,
    plugin: Vec<u8>,
    challenge: Vec<u8>,
}

impl Greeting {
    /// Reads it.
    pub async fn read(wire: &mut Wire) -> Result<Self> {
        let host = wire.host().to_owned();
        let packet = wire.read().await?;
        match packet.first() {
            Some(10) => Greeting::parse(&packet[1..]),
            Some(0xff) => Err(failure::of_server(&packet[1..])),
            _ => Err(Error::source(
                SourceFault::Unavailable,
                format!("{host} did not answer like a MySQL server"),
            )
            .code("not_mysql")
            .hint("check the port; MySQL and MariaDB listen on 3306 by default")),
        }
    }

    fn parse(packet: &[u8]) -> Result<Self> {
        let mut reader = Reader(packet);
        let version = String::from_utf8_lossy(reader.until_nul()).into_owned();
        let session = reader.u32()?;
        let mut challenge = reader.bytes(8)?.to_vec();
        reader.byte()?;
        let low = u32::from(reader.u16()?);
        reader.bytes(3)?;
        let capabilities = low | u32::from(reader.u16()?) << 16;
        let length = usize::from(reader.byte()?);
        reader.bytes(6)?;
        let extended = reader.u32()?;
        let rest = length.saturating_sub(8).max(13).min(reader.0.len());
        challenge.extend_from_slice(reader.bytes(rest)?);
        let plugin = reader.until_nul().to_vec();
        if capabilities & PROTOCOL_41 == 0 || capabilities & PLUGIN_AUTH == 0 {
            return Err(failure::protocol("a protocol older than that of MySQL 5.5"));
        }
        let is_mariadb = capabilities & LONG_PASSWORD == 0;
        Ok(Greeting {
            // A prefix for replicas that take no version above 5.
            version: version.trim_start_matches("5.5.5-").to_owned(),
            session,
            capabilities,
            extended: if is_mariadb { extended } else { 0 },
            plugin,
            challenge: trimmed(&challenge),
        })
    }

    /// Whether the server offers TLS.
    pub fn offers_tls(&self) -> bool {
        self.capabilities & TLS != 0
    }

    /// Whether columns say more of their types.
    pub fn has_extended_metadata(&self) -> bool {
        self.extended & EXTENDED_METADATA != 0
    }

    /// Whether it is MariaDB, whose settings have other names.
    pub fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// Asks for TLS; the handshake must follow. Servers hold to what is asked for
    /// here, and not to what comes later.
    pub async fn ask_for_tls(
        &self,
        wire: &mut Wire,
        target: &Target,
        is_sending: bool,
    ) -> Result<()> {
        let head = self.head(wanted(target, true, is_sending));
        wire.send(&head).await
    }

    fn head(&self, capabilities: u32) -> Vec<u8> {
        // Without this bit the last four bytes have a meaning.
        let capabilities = match self.extended {
            0 => capabilities | LONG_PASSWORD,
            _ => capabilities,
        };
        let mut head = capabilities.to_le_bytes().to_vec();
        head.extend_from_slice(&(LONG as u32).to_le_bytes());
        head.push(UTF8MB4);
        head.extend_from_slice(&[0; 19]);
        head.extend_from_slice(&(self.extended & EXTENDED_METADATA).to_le_bytes());
        head
    }
}

/// The capabilities of a connection. `is_sending` asks for the right to send rows
/// with `LOAD DATA LOCAL`.
fn wanted(target: &Target, is_encrypted: bool, is_sending: bool) -> u32 {
    let mut capabilities = WANTED;
    for (is_wanted, capability) in [
        (is_encrypted, TLS),
        (target.database.is_some(), CONNECT_WITH_DB),
        (is_sending, LOCAL_FILES),
    ] {
        if is_wanted {
            capabilities |= capability;
        }
    }
    capabilities
}

/// A challenge without the NUL that some servers put after it.
fn trimmed(challenge: &[u8]) -> Vec<u8> {
    match challenge {
        [rest @ .., 0] if matches!(rest.len(), 20 | 32) => rest.to_vec(),
        _ => challenge.to_vec(),
    }
}

/// How the connection that a password goes over is protected.
#[derive(Debug, Clone, Copy)]
pub struct Cover {
    /// Through TLS.
    pub is_encrypted: bool,
    /// The server has proved who it is.
    pub is_verified: bool,
    /// TLS was turned off by hand, and with it the care for who listens.
    pub is_waived: bool,
}

/// Logs in. `is_sending` asks for the right to send rows with `LOAD DATA LOCAL`.
pub async fn log_in(
    wire: &mut Wire,
    greeting: &Greeting,
    target: &Target,
    cover: Cover,
    is_sending: bool,
) -> Result<()> {
    let mut step = Step::begin(
        target,
        cover,
        known(&greeting.plugin),
        greeting.challenge.clone(),
    )?;
    let capabilities = wanted(target, cover.is_encrypted, is_sending);
    let mut packet = greeting.head(capabilities);
    packet.extend_from_slice(target.user.as_bytes());
    packet.push(0);
    put_text(&step.first()?, &mut packet);
    if let Some(database) = &target.database {
        packet.extend_from_slice(database.as_bytes());
        packet.push(0);
    }
    packet.extend_from_slice(&step.plugin);
    packet.push(0);
    wire.send(&packet).await?;
    for _ in 0..MOST_STEPS {
        let packet = wire.read().await?.to_vec();
        let answer = match packet.split_first() {
            Some((0, _)) => return Ok(()),
            Some((0xff, said)) => return Err(refused(failure::of_server(said), target)),
            Some((0xfe, [])) => return Err(unsupported("mysql_old_password")),
            Some((0xfe, rest)) => {
                let mut reader = Reader(rest);
                let plugin = reader.until_nul().to_vec();
                step = Step::begin(target, cover, plugin, trimmed(reader.0))?;
                Some(step.first()?)
            }
            Some((1, more)) => step.next(more)?,
            _ => return Err(failure::protocol("an unknown step of a login")),
        };
        if let Some(answer) = answer {
            wire.send(&answer).await?;
        }
    }
    Err(failure::protocol("a login without end"))
}

/// A way that the server names first is a guess of its, and need not be ours.
fn known(plugin: &[u8]) -> Vec<u8> {
    match plugin {
        b"caching_sha2_password" | b"sha256_password" | b"client_ed25519" => plugin.to_vec(),
        _ => b"mysql_native_password".to_vec(),
    }
}

/// One way to log in, as far as it has come.
struct Step<'a> {
    target: &'a Target,
    cover: Cover,
    plugin: Vec<u8>,
    challenge: Vec<u8>,
    proof: AuthProc,
}

impl<'a> Step<'a> {
    fn begin(
        target: &'a Target,
        cover: Cover,
        plugin: Vec<u8>,
        challenge: Vec<u8>,
    ) -> Result<Self> {
        let is_taken = match plugin.as_slice() {
            b"mysql_native_password"
            | b"caching_sha2_password"
            | b"sha256_password"
            | b"client_ed25519" => true,
            b"mysql_clear_password" if cover.is_encrypted && cover.is_verified => true,
            b"mysql_clear_password" => return Err(clear()),
            _ => false,
        };
        let proof = AuthProc::init(&AuthPlugin::from_bytes(&plugin));
        match proof {
            Ok(proof) if is_taken => Ok(Step {
                target,
                cover,
                plugin,
                challenge,
                proof,
            }),
            _ => Err(unsupported(&String::from_utf8_lossy(&plugin))),
        }
    }

    fn first(&mut self) -> Result<Vec<u8>> {
        let challenge = self.challenge.clone();
        Ok(self.next(&challenge)?.unwrap_or_default())
    }

    /// What to answer, if anything.
    fn next(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>> {
        let (proof, context) = (
            &mut self.proof,
            Known {
                password: self.target.password.as_ref(),
                challenge: &self.challenge,
                is_encrypted: self.cover.is_encrypted,
            },
        );
        // It reads a key of the server's, and takes some for granted of it.
        let answer = weir_core::task::guarded(move || proof.run(context, challenge));
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => return Err(failure::protocol("a login that is not understood")),
        };
        let asks_for_key =
            matches!(&answer, Response::Next { packet: Some(bytes) } if bytes.len() == 1);
        if asks_for_key && !self.cover.is_waived {
            return Err(clear());
        }
        Ok(match answer {
            Response::Next { packet } | Response::Last { packet } => packet,
        })
    }
}

/// What a proof may know.
struct Known<'a> {
    password: Option<&'a Secret>,
    challenge: &'a [u8],
    is_encrypted: bool,
}

impl Proof for Known<'_> {
    fn pass(&self) -> &[u8] {
        self.password
            .map_or(&[], |password| password.expose().as_bytes())
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        self.is_encrypted
    }

    fn scramble(&self) -> &[u8] {
        self.challenge
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

fn refused(error: Error, target: &Target) -> Error {
    match (failure::code(&error), &target.password) {
        (Some(1045 | 1698), None) => {
            error.hint("the server wants a password, and none is set: set password")
        }
        _ => error,
    }
}

fn clear() -> Error {
    Error::source(
        SourceFault::Authentication,
        "the server wants the password in a way that others could read, so it was not sent",
    )
    .hint("turn on TLS in the server and set tls.mode to verify-full; the user's way to log in asks for it")
}

fn unsupported(plugin: &str) -> Error {
    let shown: String = plugin.chars().take(64).collect();
    Error::source(
        SourceFault::Authentication,
        format!("the server wants a way to log in that is not supported: {}", shown.escape_debug()),
    )
    .hint("the user must log in by mysql_native_password, caching_sha2_password, sha256_password or ed25519")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target() -> Target {
        let config = json!({"host": "h", "user": "u", "password": "secret"});
        let config: super::super::MySqlConfig = weir_core::config::decode(config).unwrap();
        config.target().unwrap()
    }

    /// What is answered to "prove it all", after the first answer.
    fn full(plugin: &str, cover: Cover, more: &[u8]) -> Result<Option<Vec<u8>>> {
        let (target, challenge) = (target(), b"abcdefghijklmnopqrst".to_vec());
        let mut step = Step::begin(&target, cover, plugin.into(), challenge)?;
        let first = step.first()?;
        match more {
            [] => Ok(Some(first)),
            more => step.next(more),
        }
    }

    #[test]
    fn a_password_goes_through_tls_or_not_at_all() {
        let cover = |is_encrypted, is_verified, is_waived| Cover {
            is_encrypted,
            is_verified,
            is_waived,
        };
        let clear = Some(b"secret\0".to_vec());
        let (open, waived) = (cover(false, false, false), cover(false, false, true));
        let (hidden, verified) = (cover(true, false, false), cover(true, true, false));
        let caching = "caching_sha2_password";
        assert_eq!(full(caching, open, &[]).unwrap().unwrap().len(), 32);
        assert_eq!(full(caching, open, &[3]).unwrap(), None);
        assert_eq!(full(caching, hidden, &[4]).unwrap(), clear);
        assert!(full(caching, open, &[4]).is_err());
        // The key of the server, to hide the password by.
        assert_eq!(full(caching, waived, &[4]).unwrap(), Some(vec![2]));
        assert_eq!(full("sha256_password", hidden, &[]).unwrap(), clear);
        assert!(full("sha256_password", open, &[]).is_err());
        assert_eq!(full("sha256_password", waived, &[]).unwrap(), Some(vec![1]));
        assert_eq!(full("mysql_clear_password", verified, &[]).unwrap(), clear);
        assert!(full("mysql_clear_password", hidden, &[]).is_err());
        assert!(full("mysql_clear_password", waived, &[]).is_err());
        assert!(full("dialog", verified, &[]).is_err());
    }
}
