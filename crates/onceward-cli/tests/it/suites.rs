//! Every suite against `onceward gateway`, in front of the reference origin.

use std::{fmt::Write as _, fs};

use onceward_core::{header::Cookies, profile::Namespace};
use onceward_drill::{
    Guarding, Heads, Report, Subject, Suite, Target, Trust, Verdict,
    origin::{Equals, ROUTES, RouteSetup},
    suite,
};

use crate::{
    check::origin,
    kit::{Home, Server},
};

/// What depends on an answer being the handler's own word; here it may be that of something in between.
const HANDLER: [&str; 4] = [
    "a_503_of_the_handler_is_final",
    "a_408_of_the_handler_frees_the_key",
    "a_handler_that_panics_leaves_doubt",
    "a_route_may_call_a_panic_final",
];

/// One route as the gateway's file says it.
fn table(setup: &RouteSetup, profile: &str) -> String {
    let mut text = format!("[[route]]\npath = {:?}\nrequired = {}\n", setup.template, setup.is_key_required);
    if profile != "onceward" {
        return text;
    }
    let scope = match setup.namespace {
        Namespace::Actor => "actor",
        Namespace::Route => "route",
        Namespace::Operation => panic!("the file has no word for it"),
    };
    let equality = match setup.equality {
        Equals::Canonical => "canonical",
        Equals::Bytes => "bytes",
    };
    let cookies = match setup.cookies {
        Cookies::Drop => "drop",
        Cookies::Keep => "keep",
    };
    let precondition = if setup.is_precondition_required { "required" } else { "optional" };
    write!(
        text,
        "methods = {:?}\nscope = {scope:?}\nequality = {equality:?}\ncookies = {cookies:?}\nprecondition = {precondition:?}\n",
        setup.methods
    )
    .unwrap();
    if let Some(wait) = setup.wait {
        writeln!(text, "wait = \"{}ms\"", wait.as_millis()).unwrap();
    }
    text
}

/// The report on a gateway that guards by a profile.
fn judged(name: &str) -> Report {
    let home = Home::new();
    let routes = ROUTES.iter().filter(|route| name == "onceward" || route.is_key_required);
    let file = home.join("gateway.toml");
    fs::write(&file, routes.map(|setup| table(setup, name)).collect::<String>()).unwrap();
    let upstream = format!("http://{}", origin());
    let arguments =
        ["gateway", "--listen", "127.0.0.1:0", "--json", "--profile", name, "--upstream", &upstream];
    let gateway = Server::start(home.command(&arguments).arg("--config").arg(&file));
    let target = Target::parse(&format!("http://{}", gateway.address), &Trust::Anything).unwrap();
    let guarding = Guarding { verdict: Verdict::Upstream, heads: Heads::Own };
    let subject = Subject::reference(target, guarding).with_http2();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(suite::run(&subject, Suite::named(name).unwrap(), |_| ())).unwrap()
}

/// Every case passes but for those that cannot be judged here.
fn keeps_all(name: &str, left_out: &[&str]) {
    let report = judged(name);
    assert!(report.is_ok(), "{}", report.text());
    assert_eq!(report.names("not-observable"), [""; 0]);
    assert_eq!(report.names("not-applicable"), left_out);
    assert_eq!(report.names("pass").len() + left_out.len(), Suite::named(name).unwrap().cases().count());
}

// covers: K1 K2 K3 K4 K5 K7 F1 F2 F3 F4 F5 F6 L1 L5 W1 W2 O1 O2 O3 O4 O7 O8 O10 D1 P2 C2 C3 S6
#[test]
fn onceward_is_whole_at_the_gateway() {
    keeps_all("onceward", &HANDLER);
}

// covers: C4
#[test]
fn the_published_profiles_are_whole_at_the_gateway() {
    for name in Suite::names().filter(|name| *name != "onceward") {
        keeps_all(name, &[]);
    }
}
