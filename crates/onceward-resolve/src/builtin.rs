//! The recipes that come with the program.

use crate::recipe::{Recipe, RecipeError};

/// A recipe that comes with the program.
#[derive(Debug)]
pub struct Builtin {
    name: &'static str,
    text: &'static str,
}

impl Builtin {
    /// What routes call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its TOML, to be read or taken as a start for one's own.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        self.text
    }

    /// The recipe with its parameters given, as (name, value).
    ///
    /// # Errors
    /// [`RecipeError`] where a parameter is missing, unknown, or does not make a recipe.
    pub fn recipe(&self, parameters: &[(&str, &str)]) -> Result<Recipe, RecipeError> {
        Recipe::parse_with(self.text, parameters)
    }
}

macro_rules! builtins {
    ($($name:literal),+ $(,)?) => {
        &[$(Builtin { name: $name, text: include_str!(concat!("../recipes/", $name, ".toml")) }),+]
    };
}

const BUILTINS: &[Builtin] = builtins![
    "django-oscar",
    "django-oscar-number",
    "list",
    "list-html",
    "magento",
    "paypal-invoice",
    "redmine",
    "shopify",
    "shopify-rest",
    "square-order",
    "square-payment",
    "stripe",
    "woocommerce"
];

/// Every recipe that comes with the program, by name.
#[must_use]
pub const fn builtin() -> &'static [Builtin] {
    BUILTINS
}

/// The recipe of a name.
#[must_use]
pub fn builtin_named(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}
