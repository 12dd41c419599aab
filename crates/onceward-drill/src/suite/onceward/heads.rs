//! Heads and bodies that two servers may read differently (S6).

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, equal, failed, holds, refused},
    talk::Talk,
    wire::WireFault,
};

pub(super) const CASES: &[Case] = cases! {
    a_length_beside_an_encoding_is_refused [OwnHeads] "S6";
    a_length_that_stands_twice_is_refused [OwnHeads] "S6";
    two_lengths_are_refused [OwnHeads] "S6";
    a_list_of_lengths_is_refused [OwnHeads] "S6";
    a_length_with_a_sign_is_refused [OwnHeads] "S6";
    a_length_with_a_leading_zero_is_refused [OwnHeads] "S6";
    an_encoding_beside_chunked_is_refused [OwnHeads] "S6";
    an_encoding_that_stands_twice_is_refused [OwnHeads] "S6";
    bare_line_feeds_are_refused [OwnHeads] "S6";
    a_head_without_a_host_is_refused [OwnHeads] "S6";
    two_hosts_are_refused [OwnHeads] "S6";
    a_host_that_differs_from_the_target_is_refused [OwnHeads] "S6";
    a_space_before_a_colon_is_refused [OwnHeads] "S6";
    a_folded_field_is_refused [OwnHeads] "S6";
    a_body_on_a_read_is_refused [OwnHeads] "S6";
    a_method_in_small_letters_is_refused [OwnHeads] "S6";
    a_field_that_overrides_the_method_is_refused [Reference] "S6";
    a_body_that_breaks_off_is_no_effect [] "S6";
    a_chunk_that_cannot_be_read_is_no_effect [] "S6";
};

/// Sends a head as it stands; it is refused, nothing behind it is read, and nothing happens.
async fn is_refused(talk: &Talk<'_>, text: &str) -> Judged {
    let (answer, mut line) = talk.ask_raw(text).await?;
    equal("status", answer.status, 400)?;
    holds("the connection stays open", line.is_closed().await)?;
    holds("something else was answered, too", line.held.is_empty())?;
    talk.effects_are(0).await
}

async fn a_length_beside_an_encoding_is_refused(talk: &Talk<'_>) -> Judged {
    let text = "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    is_refused(talk, text).await
}

async fn a_length_that_stands_twice_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(
        talk,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    )
    .await
}

async fn two_lengths_are_refused(talk: &Talk<'_>) -> Judged {
    is_refused(
        talk,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}",
    )
    .await
}

async fn a_list_of_lengths_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(talk, "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 2, 2\r\n\r\n{}").await
}

async fn a_length_with_a_sign_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(talk, "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: +2\r\n\r\n{}").await
}

async fn a_length_with_a_leading_zero_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(talk, "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 02\r\n\r\n{}").await
}

async fn an_encoding_beside_chunked_is_refused(talk: &Talk<'_>) -> Judged {
    let text = "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    is_refused(talk, text).await
}

async fn an_encoding_that_stands_twice_is_refused(talk: &Talk<'_>) -> Judged {
    let text = "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    is_refused(talk, text).await
}

async fn bare_line_feeds_are_refused(talk: &Talk<'_>) -> Judged {
    is_refused(talk, "POST {path} HTTP/1.1\nHost: {host}\r\n{fields}Content-Length: 2\r\n\r\n{}").await
}

async fn a_head_without_a_host_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(talk, "POST {path} HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\n{}").await
}

async fn two_hosts_are_refused(talk: &Talk<'_>) -> Judged {
    is_refused(
        talk,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n{fields}Content-Length: 2\r\n\r\n{}",
    )
    .await
}

async fn a_host_that_differs_from_the_target_is_refused(talk: &Talk<'_>) -> Judged {
    let text =
        "POST http://{host}{path} HTTP/1.1\r\nHost: other.example\r\n{fields}Content-Length: 2\r\n\r\n{}";
    is_refused(talk, text).await
}

async fn a_space_before_a_colon_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(talk, "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length : 2\r\n\r\n{}").await
}

async fn a_folded_field_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(
        talk,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}X-Note: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    )
    .await
}

async fn a_body_on_a_read_is_refused(talk: &Talk<'_>) -> Judged {
    is_refused(talk, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 2\r\n\r\n{}").await
}

/// Methods are case-sensitive (RFC 9110, 9.1), and not every server knows.
async fn a_method_in_small_letters_is_refused(talk: &Talk<'_>) -> Judged {
    let text = "post {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 2\r\n\r\n{}";
    let (answer, _) = talk.ask_raw(text).await?;
    equal("status", answer.status, 400)?;
    talk.effects_are(0).await
}

async fn a_field_that_overrides_the_method_is_refused(talk: &Talk<'_>) -> Judged {
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let ask = talk.order(&talk.key()).with(name, "DELETE");
        refused(&talk.ask(&ask).await?, 400, "head-ambiguous")?;
    }
    talk.calls_are(0).await
}

/// Whatever the server says to half a request, the key stays free.
async fn leaves_the_key_free(talk: &Talk<'_>, key: &str, half: &[u8]) -> Judged {
    let mut line = talk.line().await?;
    let answered = async {
        line.write(half).await?;
        line.end_writing().await?;
        line.read("POST").await
    };
    match answered.await {
        Ok(answer) => holds("half a request was accepted", (400..500).contains(&answer.status))?,
        Err(WireFault::Late(_)) => return failed("the server waits on for a request that has broken off"),
        // A server may close at once; hyper does.
        Err(_) => {}
    }
    talk.effects_are(0).await?;
    let whole = talk.ask(&talk.order(key)).await?;
    committed(&whole, whole.status)?;
    talk.effects_are(1).await
}

async fn a_body_that_breaks_off_is_no_effect(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let bytes = talk.order(&key).bytes(&talk.subject.target);
    let Some(half) = bytes.get(..bytes.len() - 1) else {
        return Err(Stop::NotApplicable("needs a body".to_owned()));
    };
    leaves_the_key_free(talk, &key, half).await
}

async fn a_chunk_that_cannot_be_read_is_no_effect(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let bytes = talk.order(&key).trailed_by(&[]).bytes(&talk.subject.target);
    let Some(body) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return failed("no head");
    };
    let broken = [bytes.get(..body + 4).unwrap_or_default(), b"xyz\r\n{}\r\n0\r\n\r\n"].concat();
    leaves_the_key_free(talk, &key, &broken).await
}
