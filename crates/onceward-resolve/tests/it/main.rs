//! Recipes, looks and judgements.

#![cfg(test)]

mod absence;
mod builtins;
mod garbage;
mod keeping;
mod kit;
mod looks;
mod matching;
mod recipes;
mod requests;
mod services;
