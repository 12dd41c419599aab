//! Which requests are the same, and how a fingerprint is stored.

use onceward_core::canonical::Volatile;
use onceward_core::fingerprint::{Equality, Fingerprint, FingerprintInvalid, Request, Version};
use onceward_core::secret::Secret;
use serde::Deserialize;

use crate::vectors::{Invalid, Rules, bytes_of_hex, hex_of, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "description")]
    _description: String,
    secret_hex: String,
    pairs: Vec<PairCase>,
    invalid: Vec<InvalidCase>,
    digests: Vec<DigestCase>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EqualityCase {
    Bytes,
    #[default]
    Canonical,
}

#[derive(Deserialize)]
struct PairCase {
    description: String,
    #[serde(default)]
    equality: EqualityCase,
    #[serde(flatten)]
    rules: Rules,
    a: RequestCase,
    b: RequestCase,
    equal: bool,
}

#[derive(Deserialize)]
struct InvalidCase {
    description: String,
    request: RequestCase,
    invalid: Invalid,
}

#[derive(Deserialize)]
struct DigestCase {
    description: String,
    equality: EqualityCase,
    request: RequestCase,
    fingerprint_hex: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestCase {
    scheme: Option<String>,
    authority: Option<String>,
    method: String,
    path_and_query: String,
    media_type: Option<String>,
    body: String,
}

impl RequestCase {
    fn view(&self) -> Request<'_> {
        Request {
            scheme: self.scheme.as_deref(),
            authority: self.authority.as_deref(),
            method: &self.method,
            path_and_query: &self.path_and_query,
            media_type: self.media_type.as_deref(),
            body: self.body.as_bytes(),
        }
    }
}

fn vectors() -> Vectors {
    read(include_str!("../../../../vectors/fingerprint.json"))
}

fn secret(vectors: &Vectors) -> Secret {
    Secret::new(bytes_of_hex(&vectors.secret_hex).try_into().unwrap())
}

fn equality(case: EqualityCase, rules: &Rules) -> Equality {
    match case {
        EqualityCase::Bytes => Equality::Bytes,
        EqualityCase::Canonical => Equality::Canonical(rules.on(Volatile::common())),
    }
}

// covers: F1 F2 F3 F4 F6
#[test]
fn pair_vectors() {
    let vectors = vectors();
    let secret = secret(&vectors);
    for case in &vectors.pairs {
        let equality = equality(case.equality, &case.rules);
        let a = Fingerprint::of(&secret, &case.a.view(), &equality).unwrap();
        let b = Fingerprint::of(&secret, &case.b.view(), &equality).unwrap();
        assert_eq!(a == b, case.equal, "{}", case.description);
    }
}

// covers: F1 F2
#[test]
fn invalid_vectors() {
    let vectors = vectors();
    let secret = secret(&vectors);
    for case in &vectors.invalid {
        let canonical = Equality::Canonical(Volatile::common());
        let found = Fingerprint::of(&secret, &case.request.view(), &canonical).map_err(Invalid::from);
        assert_eq!(found.as_ref(), Err(&case.invalid), "{}", case.description);
        assert!(Fingerprint::of(&secret, &case.request.view(), &Equality::Bytes).is_ok());
    }
}

// covers: F1 F3
#[test]
fn digest_vectors() {
    let vectors = vectors();
    let secret = secret(&vectors);
    for case in &vectors.digests {
        let equality = equality(case.equality, &Rules::default());
        let found = Fingerprint::of(&secret, &case.request.view(), &equality).unwrap();
        assert_eq!(hex_of(&found.to_bytes()), case.fingerprint_hex, "{}", case.description);
    }
}

fn request(body: &str) -> Request<'_> {
    Request {
        scheme: None,
        authority: None,
        method: "POST",
        path_and_query: "/orders",
        media_type: Some("application/json"),
        body: body.as_bytes(),
    }
}

// covers: F1
#[test]
fn a_record_is_compared_under_the_version_that_it_was_made_with() {
    let secret = Secret::new([1; 32]);
    let rules = || Equality::Canonical(Volatile::none().volatile("$.at").unwrap());
    let of = |body: &str, equality: &Equality| Fingerprint::of(&secret, &request(body), equality).unwrap();
    let again = |version, body: &str, equality: &Equality| {
        Fingerprint::of_version(version, &secret, &request(body), equality).unwrap()
    };

    // The route turned canonical since: the bytes decide.
    let first = of(r#"{"a":1}"#, &Equality::Bytes);
    assert_eq!(first.version(), Version::Bytes);
    assert_eq!(again(first.version(), r#"{"a":1}"#, &rules()), first);
    assert_ne!(again(first.version(), r#"{"a": 1}"#, &rules()), first);

    // The route is canonical still: its own rules decide.
    let first = of(r#"{"a":1,"at":1}"#, &rules());
    assert_eq!(first.version(), Version::C1);
    assert_eq!(again(first.version(), r#"{"at":2,"a":1}"#, &rules()), first);
    assert_ne!(again(first.version(), r#"{"at":2,"a":2}"#, &rules()), first);

    // The route turned to bytes since: the common names are the rules.
    let first = of(r#"{"a":1,"_token":1}"#, &Equality::Canonical(Volatile::common()));
    assert_eq!(again(first.version(), r#"{"_token":2,"a":1.0}"#, &Equality::Bytes), first);
    assert_ne!(again(first.version(), r#"{"_token":2,"a":2}"#, &Equality::Bytes), first);
}

// covers: F1
#[test]
fn versions_and_secrets_are_apart() {
    let of = |secret, equality: &Equality| {
        Fingerprint::of(&Secret::new([secret; 32]), &request("{}"), equality).unwrap()
    };
    let canonical = Equality::Canonical(Volatile::none());
    let all = [of(1, &Equality::Bytes), of(1, &canonical), of(2, &Equality::Bytes), of(2, &canonical)];
    for (at, one) in all.iter().enumerate() {
        for (other_at, other) in all.iter().enumerate() {
            assert_eq!(one == other, at == other_at, "{at} {other_at}");
        }
    }
    // The version counts for equality by itself, as a stored one may be altered.
    let mut altered = all[0].to_bytes();
    altered[0] = 1;
    assert_ne!(Fingerprint::from_bytes(&altered), Ok(all[0]));
}

// covers: F1 L8
#[test]
fn stored_bytes_are_read_back_or_refused() {
    let digest = [7; 32];
    for (version, expected) in [(0, Version::Bytes), (1, Version::C1)] {
        let bytes = [[version].as_slice(), &digest].concat();
        let read = Fingerprint::from_bytes(&bytes).unwrap();
        assert_eq!((read.version(), read.to_bytes().to_vec()), (expected, bytes));
    }
    let corrupt: [&[u8]; 5] = [&[], &[1], &[2; 33], &[1; 32], &[0; 34]];
    for bytes in corrupt {
        assert_eq!(Fingerprint::from_bytes(bytes), Err(FingerprintInvalid), "{bytes:?}");
    }
    assert_eq!(FingerprintInvalid.to_string(), "stored bytes are not a fingerprint");
}

// covers: K6
#[test]
fn debug_texts_show_neither_body_nor_digest() {
    let secret = Secret::new([1; 32]);
    let request = request("{}");
    let fingerprint = Fingerprint::of(&secret, &request, &Equality::Bytes).unwrap();
    assert_eq!(format!("{request:?} {fingerprint:?}"), "Request(..) Fingerprint(Bytes, ..)");
}
