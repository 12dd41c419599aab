//! The deployment's secret in its file.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, bail};
use onceward_control::Token;
use onceward_core::secret::Secret;
use zeroize::Zeroizing;

/// Hexadecimal digits of the secret's 32 bytes.
const DIGITS: usize = 64;

/// Reads the secret, or makes one where there is none yet.
///
/// The file appears whole or not at all: of two programs that start at once, both end up with the same secret.
pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<Secret> {
    digits(path).and_then(|digits| {
        let bytes =
            parse(&digits).with_context(|| format!("{} changed while it was read", path.display()))?;
        Ok(Secret::new(bytes))
    })
}

/// The token of the control API over TCP: the digits of a secret of its own.
pub(crate) fn control_token(path: &Path) -> anyhow::Result<Token> {
    Ok(Token::new(&digits(path)?)?)
}

fn digits(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let folder = folder_of(path);
    // Whoever may write there may put another secret in its place. Nobody but its owner removes from a sticky folder (/tmp).
    if let Ok(metadata) = fs::metadata(folder) {
        let mode = metadata.permissions().mode();
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            bail!("others may write to the folder {0} of the secret; run: chmod go-w {0}", folder.display());
        }
    }
    match read(path) {
        Ok(Some(digits)) => Ok(digits),
        Ok(None) => {
            create(path).with_context(|| format!("cannot make the secret {}", path.display()))?;
            read(path)?.with_context(|| format!("the secret {} vanished", path.display()))
        }
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> anyhow::Result<Option<Zeroizing<String>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the secret {}", path.display()));
        }
    };
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("the secret {0} can be read by others (mode {mode:o}); run: chmod 600 {0}", path.display());
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).with_context(|| format!("cannot read the secret {}", path.display()))?;
    let digits = Zeroizing::new(text.trim().to_owned());
    if parse(&digits).is_none() {
        bail!("{} holds no secret: expected {DIGITS} hexadecimal digits", path.display());
    }
    Ok(Some(digits))
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != DIGITS || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn create(path: &Path) -> anyhow::Result<()> {
    let folder = folder_of(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    // Two programs on one volume may have one process id, so the draft's name is random, too.
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random)?;
    let draft = path.with_extension(format!("{:016x}.draft", u64::from_be_bytes(random)));
    let written = write_draft(&draft, &bytes)
        // A link never replaces: whoever comes second takes the first one's secret.
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        })
        .and_then(|()| File::open(folder)?.sync_all());
    fs::remove_file(&draft)?;
    Ok(written?)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_draft(draft: &Path, bytes: &[u8; 32]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    for byte in bytes {
        write!(file, "{byte:02x}")?;
    }
    writeln!(file)?;
    file.sync_all()
}
