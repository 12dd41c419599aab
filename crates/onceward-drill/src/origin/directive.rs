//! What the field `x-drill` tells the reference origin.

/// What is done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Whether it waits until its conversation is released: before it answers, or behind the first of several events.
    pub(super) is_held: bool,
    pub(super) act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// What the method asks for.
    Book,
    Status(u16),
    /// A status with the origin's own word on the key (L5).
    Consumed(u16, bool),
    Gzip,
    Binary,
    Events,
    Large,
    Trailers,
    /// A field that belongs to the connection.
    Hop,
    /// The result of a tool (Model Context Protocol), under the id of its call.
    Result,
    Panic,
    Cut,
}

impl Directive {
    /// Reads `hold; status=429`; `None` where it says what there is not.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut directive = Self { is_held: false, act: Act::Book };
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let status = || value.parse().ok().filter(|status| (200..600).contains(status));
            match name {
                "hold" => directive.is_held = true,
                "status" => directive.act = Act::Status(status()?),
                "consumed" => directive.act = Act::Consumed(status()?, true),
                "not-consumed" => directive.act = Act::Consumed(status()?, false),
                "gzip" => directive.act = Act::Gzip,
                "binary" => directive.act = Act::Binary,
                "events" => directive.act = Act::Events,
                "large" => directive.act = Act::Large,
                "trailers" => directive.act = Act::Trailers,
                "hop" => directive.act = Act::Hop,
                "result" => directive.act = Act::Result,
                "panic" => directive.act = Act::Panic,
                "cut" => directive.act = Act::Cut,
                _ => return None,
            }
        }
        Some(directive)
    }

    /// Whether the order is booked. What is declined with a 4xx is not.
    pub(super) fn takes_effect(&self) -> bool {
        match self.act {
            Act::Status(status) => !(400..500).contains(&status),
            Act::Consumed(_, consumed) => consumed,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_read_whole_or_not_at_all() {
        let book = Directive { is_held: false, act: Act::Book };
        assert_eq!(Directive::parse(""), Some(book));
        let held = Directive { is_held: true, act: Act::Status(429) };
        assert_eq!(Directive::parse("hold; status=429"), Some(held));
        assert!(!held.takes_effect() && book.takes_effect());
        let kept = Directive { is_held: false, act: Act::Consumed(500, false) };
        assert_eq!(Directive::parse("not-consumed=500"), Some(kept));
        assert!(!kept.takes_effect());
        for wrong in ["fast", "status=99", "status=x", "consumed"] {
            assert_eq!(Directive::parse(wrong), None, "{wrong}");
        }
    }
}
