//! What of a message ends at this hop (RFC 9110 section 7.6.1).
//!
//! Read as bytes: one byte that is no text must not make a whole `Connection` field say nothing.

/// Fields of one connection that no `Connection` field needs to name.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "http2-settings", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// The challenges of a proxy, which are for whoever has asked it.
const CHALLENGES: [&str; 2] = ["proxy-authenticate", "proxy-authentication-info"];

/// What a `Connection` field cannot take away, for it routes or frames the message; and an option that names no field.
const NEVER_NAMED: [&str; 3] = ["host", "content-length", "close"];

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Of its fields, all that begin with `Proxy-` are for the next proxy, which this one is.
    Request,
    /// Of its fields, `Proxy-Status` and the like are for everybody.
    Answer,
}

/// What a message says about its own connection.
#[derive(Debug)]
pub(crate) struct Hop {
    way: Way,
    named: Vec<Box<[u8]>>,
}

impl Hop {
    /// Of a message with these values of `Connection`.
    pub(crate) fn of<'a>(way: Way, connection: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let options = connection.into_iter().flat_map(tokens);
        // What most messages say names nothing that would not end here anyway.
        let named = options.filter(|name| !is_one_of(name, &NEVER_NAMED) && !ends_unnamed(way, name));
        Self { way, named: named.map(Box::from).collect() }
    }

    /// Whether the field ends at this hop.
    pub(crate) fn ends(&self, name: &[u8]) -> bool {
        ends_unnamed(self.way, name) || self.names(name)
    }

    /// Whether `Connection` makes a field end here that would otherwise pass.
    pub(crate) fn names(&self, name: &[u8]) -> bool {
        self.named.iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}

/// Whether a field ends at this hop whatever `Connection` says.
pub(crate) fn ends_unnamed(way: Way, name: &[u8]) -> bool {
    is_one_of(name, &HOP_BY_HOP)
        || match way {
            Way::Request => name.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case(b"proxy-")),
            Way::Answer => is_one_of(name, &CHALLENGES),
        }
}

/// Whether a comma-separated list has the token, in any case.
pub(crate) fn has_token(list: &[u8], token: &[u8]) -> bool {
    tokens(list).any(|item| item.eq_ignore_ascii_case(token))
}

fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: B6
    #[test]
    fn what_is_no_text_names_nothing_and_hides_nothing() {
        let values: [&[u8]; 2] = [b"close, \xff, X-Hop", b"Host,,content-length"];
        let hop = Hop::of(Way::Answer, values);
        let fields = ["x-hop", "X-HOP", "close", "host", "Content-Length", "Transfer-Encoding", "x-other"];
        let ending: Vec<_> = fields.into_iter().filter(|name| hop.ends(name.as_bytes())).collect();
        assert_eq!(ending, ["x-hop", "X-HOP", "Transfer-Encoding"]);
    }

    // covers: B6
    #[test]
    fn what_is_for_a_proxy_depends_on_the_way() {
        let fields =
            ["proxy-authorization", "proxy-authenticate", "proxy-status", "proxy-connection", "proxy"];
        let ending = |way| fields.map(|name| ends_unnamed(way, name.as_bytes()));
        assert_eq!(ending(Way::Request), [true, true, true, true, false]);
        assert_eq!(ending(Way::Answer), [false, true, false, true, false]);
    }
}
