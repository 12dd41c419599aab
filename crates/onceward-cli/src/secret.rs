//! The token of the control API in its file.

use std::path::Path;

use onceward::secret_file;
use onceward_control::Token;

/// The token of the control API over TCP: the digits of a secret of its own.
pub(crate) fn control_token(path: &Path) -> anyhow::Result<Token> {
    Ok(Token::new(&secret_file::digits_or_create(path)?)?)
}
