use alloc::vec::Vec;

use super::PathInvalid;
use super::path::{Role, Selector, Step, compile};
use super::string::escape;

/// Which parts of a body count for its canonical form (F4).
///
/// Without paths everything counts but the named volatile fields. A route adds paths of three kinds:
/// - *volatile*: does not count, nor does what is in it;
/// - *content*: once there is one, only what such paths select counts;
/// - *identity*: always counts, also within volatile parts and beside the content.
///
/// A path governs the selected value and all below it, until another path selects something below. Where several select
/// one value, identity is stronger than volatile and volatile stronger than content. A member that does not count is as
/// good as absent; so is an object or array that does not count itself and holds nothing that does.
///
/// Paths are JSONPath (RFC 9535) with names, wildcards, indexes from the start and descendants, one selector a segment. A
/// form is taken for an object of its fields, so `$.token` and `$['order[token]']` name fields of forms.
#[derive(Clone, Debug)]
pub struct Volatile {
    /// Volatile members of the body's outermost object, and volatile form fields.
    root_names: &'static [&'static str],
    /// Volatile members of any object.
    any_names: &'static [&'static str],
    steps: Vec<Step>,
    /// The first step of each path, as a bit each.
    starts: u128,
    has_content: bool,
}

impl Volatile {
    /// Everything counts.
    #[must_use]
    pub const fn none() -> Self {
        Self::named(&[], &[])
    }

    /// The per-rendering fields of common frameworks do not count: CSRF tokens, nonces, timestamps, view state.
    ///
    /// In JSON only members of the outermost object are meant, since that is where those frameworks read them, and only
    /// names that a framework coined. A plain `timestamp`, `nonce` or `token` may carry meaning (a booking's time), so it
    /// counts until a route declares it volatile.
    #[must_use]
    pub const fn common() -> Self {
        Self::named(COMMON_NAMES, &[])
    }

    /// The members that F5 leaves out of an intent, at any depth.
    pub(crate) const fn intent() -> Self {
        Self::named(&[], &["csrf", "nonce", "timestamp"])
    }

    /// Members of the outermost object do not count, nor do the members that `paths` lead to from there.
    ///
    /// The names are what stands between the quotes of canonical text; without characters that JSON escapes, those are the names.
    pub(crate) fn members(root_names: &'static [&'static str], paths: &[&[&str]]) -> Self {
        let mut volatile = Self::named(root_names, &[]);
        for path in paths {
            volatile.starts |= 1 << volatile.steps.len();
            volatile.steps.extend(path.iter().zip(1..).map(|(name, number)| Step {
                selector: Selector::Name(name.as_bytes().into()),
                descends: false,
                role: (number == path.len()).then_some(Role::Volatile),
            }));
        }
        volatile
    }

    const fn named(root_names: &'static [&'static str], any_names: &'static [&'static str]) -> Self {
        Self { root_names, any_names, steps: Vec::new(), starts: 0, has_content: false }
    }

    /// Declares what `path` selects volatile.
    ///
    /// # Errors
    /// [`PathInvalid`] names what is wrong or not supported, and where.
    pub fn volatile(self, path: &str) -> Result<Self, PathInvalid> {
        self.with(path, Role::Volatile)
    }

    /// Declares that only what `path`, or another path declared so, selects counts.
    ///
    /// A body in which none of them selects anything has an empty canonical form.
    ///
    /// # Errors
    /// As [`Volatile::volatile`].
    pub fn content(self, path: &str) -> Result<Self, PathInvalid> {
        self.with(path, Role::Content)
    }

    /// Declares that what `path` selects says which thing is acted on, so that it always counts.
    ///
    /// # Errors
    /// As [`Volatile::volatile`].
    pub fn identity(self, path: &str) -> Result<Self, PathInvalid> {
        self.with(path, Role::Identity)
    }

    fn with(mut self, path: &str, role: Role) -> Result<Self, PathInvalid> {
        let start = self.steps.len();
        compile(path, role, &mut self.steps)?;
        self.starts |= 1 << start;
        self.has_content |= role == Role::Content;
        Ok(self)
    }

    pub(super) fn root(&self) -> Node {
        Node { depth: 0, live: self.starts, counts: !self.has_content }
    }

    /// Goes from an object to its member, whose name is given as canonical text.
    pub(super) fn member(&self, parent: &Node, name: &[u8]) -> Node {
        let mut node = self.child(parent, |selector| match selector {
            Selector::Name(wanted) => **wanted == *name,
            Selector::Index(_) => false,
            Selector::Any => true,
        });
        let is_named = |names: &[&str]| names.iter().any(|wanted| wanted.as_bytes() == name);
        if (parent.depth == 0 && is_named(self.root_names)) || is_named(self.any_names) {
            node.role = node.role.max(Some(Role::Volatile));
        }
        node.into_node(parent)
    }

    /// Goes from a form to its field, whose name may be any bytes.
    pub(super) fn field(&self, form: &Node, name: &[u8]) -> Node {
        let mut text = Vec::with_capacity(name.len());
        for chunk in name.utf8_chunks() {
            chunk.valid().chars().for_each(|scalar| escape(scalar, &mut text));
            text.extend_from_slice(chunk.invalid());
        }
        self.member(form, &text)
    }

    /// Goes from an array to its element.
    pub(super) fn element(&self, parent: &Node, index: u64) -> Node {
        let node = self.child(parent, |selector| match selector {
            Selector::Name(_) => false,
            Selector::Index(wanted) => *wanted == index,
            Selector::Any => true,
        });
        node.into_node(parent)
    }

    /// Follows every live path one level down.
    fn child(&self, parent: &Node, selects: impl Fn(&Selector) -> bool) -> Child {
        let mut child = Child { live: 0, role: None };
        let mut pending = parent.live;
        while pending != 0 {
            let bit = pending & pending.wrapping_neg();
            pending ^= bit;
            let Some(step) = self.steps.get(bit.trailing_zeros() as usize) else {
                break;
            };
            if step.descends {
                child.live |= bit;
            }
            if selects(&step.selector) {
                match step.role {
                    Some(role) => child.role = child.role.max(Some(role)),
                    None => child.live |= bit << 1,
                }
            }
        }
        child
    }
}

/// Where the reader stands in a body, as the paths see it.
pub(super) struct Node {
    /// How many arrays and objects are around.
    pub(super) depth: usize,
    /// The steps that may select something one level down, a bit each.
    live: u128,
    /// Whether the value counts.
    pub(super) counts: bool,
}

struct Child {
    live: u128,
    role: Option<Role>,
}

impl Child {
    fn into_node(self, parent: &Node) -> Node {
        let counts = match self.role {
            None => parent.counts,
            Some(Role::Volatile) => false,
            Some(Role::Content | Role::Identity) => true,
        };
        Node { depth: parent.depth + 1, live: self.live, counts }
    }
}

/// Fields that a framework makes anew at each rendering, under names of its own.
///
/// Left out on purpose: names that say what is asked, such as WebForms' `__EVENTTARGET`, Rails' `commit`, Next.js's
/// `$ACTION_ID_…`, `$ACTION_REF_…` and the bound arguments `$ACTION_1:0`.
const COMMON_NAMES: &[&str] = &[
    // Ruby on Rails: ActionController::RequestForgeryProtection, `request_forgery_protection_token`.
    "authenticity_token",
    // Django: `CsrfViewMiddleware`.
    "csrfmiddlewaretoken",
    // Laravel: `@csrf`; also Symfony's form component, `csrf_protection.field_name`.
    "_token",
    // Spring Security: `HttpSessionCsrfTokenRepository`; also csurf for Express, and Yii 2.
    "_csrf",
    // Symfony's login form, and Phoenix's `Plug.CSRFProtection`.
    "_csrf_token",
    // CakePHP: `CsrfProtectionMiddleware`.
    "_csrfToken",
    // Flask-WTF: `WTF_CSRF_FIELD_NAME`.
    "csrf_token",
    // Auth.js (Next.js) and the Play framework.
    "csrfToken",
    // CodeIgniter: `csrf_token_name`.
    "csrf_test_name",
    // Yii 1, and the two halves of Yii 2's advanced template.
    "YII_CSRF_TOKEN",
    "_csrf-backend",
    "_csrf-frontend",
    // ASP.NET MVC and ASP.NET Core antiforgery.
    "__RequestVerificationToken",
    // ASP.NET Web Forms: view state in its parts, event validation, and the scroll position.
    "__VIEWSTATE",
    "__VIEWSTATEENCRYPTED",
    "__VIEWSTATEFIELDCOUNT",
    "__VIEWSTATEGENERATOR",
    "__EVENTVALIDATION",
    "__PREVIOUSPAGE",
    "__LASTFOCUS",
    "__SCROLLPOSITIONX",
    "__SCROLLPOSITIONY",
    // WordPress: `wp_nonce_field`, `wp_referer_field`, `check_ajax_referer`; WooCommerce's checkout; Akismet's timestamp.
    "_wpnonce",
    "_wp_http_referer",
    "_wp_original_http_referer",
    "_ajax_nonce",
    "woocommerce-process-checkout-nonce",
    "ak_js",
    // Drupal's Form API, and the honeypot module's timestamp.
    "form_build_id",
    "form_token",
    "honeypot_time",
    // Jakarta Faces, under both package names.
    "jakarta.faces.ViewState",
    "javax.faces.ViewState",
    // Salesforce Visualforce.
    "com.salesforce.visualforce.ViewState",
    "com.salesforce.visualforce.ViewStateCSRF",
    "com.salesforce.visualforce.ViewStateMAC",
    "com.salesforce.visualforce.ViewStateVersion",
    // React's form state in a Next.js server action: which `useActionState` hook is to take the answer.
    "$ACTION_KEY",
];
