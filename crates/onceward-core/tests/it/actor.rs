//! Whose a key is, and the id that a record is found under, against `vectors/key.json`.

use std::collections::BTreeSet;

use onceward_core::actor::{Actor, ActorTag, KeyTag, LookupId, Scope, Tenant};
use onceward_core::key::Key;
use onceward_core::secret::Secret;
use serde::Deserialize;

use crate::vectors::{self, hex_of};

#[derive(Deserialize)]
struct Vectors {
    lookups: Vec<LookupCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupCase {
    description: String,
    source: String,
    tenant: String,
    actor: ActorText,
    scope: ScopeText,
    key: String,
    lookup_id: String,
    actor_tag: String,
    key_tag: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActorText {
    source: String,
    identity: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ScopeText {
    Actor,
    Route(String),
    Operation { method: String, origin: String, path: String, name: String },
}

impl ScopeText {
    fn scope(&self) -> Scope {
        match self {
            Self::Actor => Scope::Actor,
            Self::Route(template) => Scope::Route(template.as_str().into()),
            Self::Operation { method, origin, path, name } => operation(method, origin, path, name),
        }
    }
}

fn operation(method: &str, origin: &str, path: &str, name: &str) -> Scope {
    let (method, origin, path, name) = (method.into(), origin.into(), path.into(), name.into());
    Scope::Operation { method, origin, path, name }
}

/// The secret of the vectors: 00 01 .. 1f.
fn secret() -> Secret {
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().zip(0..) {
        *byte = value;
    }
    Secret::new(bytes)
}

// covers: K4, K5, K6
#[test]
fn a_record_is_found_by_tenant_actor_scope_and_key() {
    let vectors: Vectors = vectors::read(include_str!("../../../../vectors/key.json"));
    for case in vectors.lookups {
        let source: &'static str = match &*case.actor.source {
            "authorization" => "authorization",
            "cookie" => "cookie",
            "session" => "session",
            "anonymous" => "anonymous",
            other => panic!("unknown source {other}"),
        };
        let (secret, tenant) = (secret(), Tenant::named(&case.tenant));
        let actor = Actor::new(source, case.actor.identity.as_bytes());
        let key = Key::new(&case.key).unwrap();
        let id = LookupId::of(&secret, &tenant, &actor, &case.scope.scope(), &key);
        let found = (
            hex_of(id.as_bytes()),
            actor.tag(&secret, &tenant).to_string(),
            KeyTag::of(&secret, &key).to_string(),
        );
        let expected = (case.lookup_id, case.actor_tag, case.key_tag);
        assert_eq!(found, expected, "{} ({})", case.description, case.source);
    }
}

fn id(tenant: &str, source: &'static str, identity: &str, scope: &Scope, key: &str) -> [u8; 32] {
    let (tenant, actor) = (Tenant::named(tenant), Actor::new(source, identity.as_bytes()));
    *LookupId::of(&secret(), &tenant, &actor, scope, &Key::new(key).unwrap()).as_bytes()
}

// covers: K4, K5, K6, B2
#[test]
fn tuples_that_join_to_one_text_have_ids_of_their_own() {
    let route = |template: &str| Scope::Route(template.into());
    let ids = [
        id("ab", "cookie", "c", &Scope::Actor, "k"),
        id("a", "cookie", "bc", &Scope::Actor, "k"),
        id("abc", "cookie", "", &Scope::Actor, "k"),
        id("ab", "cookie", "", &Scope::Actor, "ck"),
        id("abcookie", "cookie", "c", &Scope::Actor, "k"),
        id("ab", "authorization", "c", &Scope::Actor, "k"),
        id("ab", "cookie", "c", &Scope::Actor, "l"),
        // A template that looks like another scope, and a key that looks like a template.
        id("ab", "cookie", "c", &route(""), "k"),
        id("ab", "cookie", "c", &route("k"), "k"),
        id("ab", "cookie", "c", &route("actor"), "k"),
        id("ab", "cookie", "c", &route("/a"), "bk"),
        id("ab", "cookie", "c", &route("/ab"), "k"),
        // Each part of an operation counts, and each on its own.
        id("ab", "cookie", "c", &operation("POST", "https://x", "/p", "n"), "k"),
        id("ab", "cookie", "c", &operation("PUT", "https://x", "/p", "n"), "k"),
        id("ab", "cookie", "c", &operation("POST", "https://y", "/p", "n"), "k"),
        id("ab", "cookie", "c", &operation("POST", "https://x", "/q", "n"), "k"),
        id("ab", "cookie", "c", &operation("POST", "https://x", "/p", "m"), "k"),
        id("ab", "cookie", "c", &operation("POST", "https://x", "/p", ""), "k"),
        id("ab", "cookie", "c", &operation("POST", "https://x", "/pn", ""), "k"),
        id("ab", "cookie", "c", &operation("POST", "https://x/p", "", "n"), "k"),
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

// covers: K6
#[test]
fn another_deployment_finds_nothing() {
    let (tenant, actor, key) = (Tenant::single(), Actor::anonymous(), Key::new("k").unwrap());
    let other = Secret::new([7; 32]);
    let of = |secret: &Secret| {
        (
            LookupId::of(secret, &tenant, &actor, &Scope::Actor, &key),
            actor.tag(secret, &tenant),
            KeyTag::of(secret, &key),
        )
    };
    let (ours, theirs) = (of(&secret()), of(&other));
    assert_ne!(ours.0, theirs.0);
    assert_ne!(ours.1, theirs.1);
    assert_ne!(ours.2, theirs.2);
}

// covers: A1, K6
#[test]
fn a_tag_is_read_back_from_what_it_writes() {
    let bytes = [0x00, 0x01, 0x0f, 0x10, 0x7f, 0x80, 0xab, 0xff];
    let tag = KeyTag::from_bytes(bytes);
    assert_eq!((tag.to_string().as_str(), tag.as_bytes()), ("00010f107f80abff", &bytes));
    assert_eq!(KeyTag::parse("00010f107f80abff"), Some(tag));
    assert_eq!(ActorTag::parse("00010f107f80abff"), Some(ActorTag::from_bytes(bytes)));
    for text in [
        "",
        "00010f107f80abf",
        "00010f107f80abff0",
        "00010f107f80abfg",
        "+0010f107f80abff",
        "00010F107F80ABFF",
    ] {
        assert_eq!(KeyTag::parse(text), None, "{text}");
    }
}

// covers: K6
#[test]
fn no_debug_text_holds_an_identity_or_a_secret() {
    let actor = Actor::new("authorization", b"Bearer hunter2");
    assert_eq!(format!("{actor:?}"), "Actor(authorization:..)");
    assert_eq!(format!("{:?} {:?}", secret(), secret().digest("x")), "Secret(..) Digest(..)");
    let id = LookupId::from_bytes([0xab; 32]);
    assert_eq!(format!("{id:?}"), "LookupId(abababababababab)");
    let tag = ActorTag::from_bytes([0xcd; 8]);
    assert_eq!(format!("{tag:?}"), "ActorTag(cdcdcdcdcdcdcdcd)");
    assert_eq!(format!("{:?}", KeyTag::from_bytes([0xcd; 8])), "KeyTag(cdcdcdcdcdcdcdcd)");
}

// covers: K4
#[test]
fn a_deployment_without_tenants_has_one() {
    assert_eq!(Tenant::single(), Tenant::named("default"));
    assert_eq!(Tenant::named("acme").as_str(), "acme");
    assert_eq!(Actor::anonymous().tag(&secret(), &Tenant::single()).to_string().len(), 16);
}
