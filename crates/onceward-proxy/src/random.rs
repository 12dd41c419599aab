//! Random bytes of the TLS provider, for serials and names.

use rcgen::SerialNumber;
use rustls::crypto::aws_lc_rs;

/// Bytes of a serial number: 128 bits, well under the 20 bytes of RFC 5280, section 4.1.2.2.
const SERIAL_BYTES: usize = 16;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes")]
pub struct RandomError;

/// `N` unpredictable bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    match aws_lc_rs::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(rustls::crypto::GetRandomFailed) => Err(RandomError),
    }
}

/// A positive serial that no other certificate carries: Firefox refuses two certificates of one issuer and serial.
pub(crate) fn serial() -> Result<SerialNumber, RandomError> {
    let mut bytes = bytes::<SERIAL_BYTES>()?;
    if let Some(first) = bytes.first_mut() {
        // Positive, and never shortened by a leading zero byte.
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}
