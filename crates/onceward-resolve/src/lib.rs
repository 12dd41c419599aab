//! Looks whether an effect in doubt happened.
//!
//! The answer to a request was lost, and nobody knows whether the order stands. Whoever would look in the shop's order history does a
//! **look**; a [`Recipe`] says, as data, where to look and how to read what is there. This crate is the pure part: it reads recipes,
//! turns a remembered [`EffectRequest`] into the request of the look, and judges the [`Answer`] to it. It sends nothing and knows no
//! time.
//!
//! ```
//! # use onceward_resolve::{EffectRequest, builtin_named};
//! # let uri = "https://tracker.example/projects/7/issues.json".parse().unwrap();
//! # let body = br#"{"issue": {"subject": "Leak"}}"#.to_vec();
//! # let headers = [("content-type", "application/json"), ("x-redmine-api-key", "k")];
//! # let headers = headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
//! # let effect = EffectRequest::new(http::Method::POST, uri, headers, body, 1_795_000_000_000).unwrap();
//! let recipe = builtin_named("redmine").expect("is built in").recipe(&[])?;
//! let look = recipe.look(&effect)?;
//! assert_eq!(look.uri().path(), "/projects/7/issues.json");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A judgement never guesses. What is not plainly shown is [`Sighting::Unclear`], and that nothing was found counts only where the
//! place in which the effect would stand was itself recognised.

mod answer;
mod builtin;
mod decimal;
mod fetch;
mod judge;
mod moment;
mod pick;
mod recipe;
mod request;
mod resolvers;
mod template;

pub use answer::{ANSWER_BYTES_MAX, Answer};
pub use builtin::{Builtin, builtin, builtin_named};
pub use fetch::{Fetch, FetchFuture, Fetched, NotFetched, Place};
pub use judge::Sighting;
pub use recipe::{Effects, Recipe, RecipeError};
pub use request::{EffectRequest, EffectRequestInvalid};
pub use resolvers::{Command, Finder, KEPT_BYTES_MAX, Needs, OriginKey, Passthrough, Probe, Resolvers};
pub use template::LookError;
