//! The commands that serve nobody: what they print, and the exit code that a script goes by.

use std::{fs, net::TcpListener};

use serde_json::json;

use crate::kit::{Home, Ran, bytes_of, command, ran};

/// A run that was refused: its exit code, and what it said instead of an answer.
fn refused(ran: &Ran) -> (Option<i32>, &str) {
    assert_eq!(ran.stdout, "", "{}", ran.stderr);
    (ran.code, ran.stderr.trim_end())
}

#[test]
fn config_check_tells_good_from_bad() {
    let home = Home::new();
    assert_eq!(home.run(&["config", "check", "--json"]).json(), json!({"ok": true, "warnings": []}));
    let bad = home.run(&["config", "check", "--retention", "5w"]);
    let (code, said) = refused(&bad);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("onceward: policy.retention = \"5w\" (from --retention): "), "{said}");
}

// covers: S2
#[test]
fn config_check_says_what_an_open_route_costs_and_config_print_shows_it() {
    let home = Home::new();
    let file = home.join("my.toml");
    let routes = "[[route]]\npath = \"/likes\"\nwhen_store_down = \"open\"\n\
                  [[route]]\npath = \"/orders\"\nwhen_store_down = \"closed\"\n";
    fs::write(&file, routes).unwrap();
    let file = file.to_str().unwrap();
    let costs = "while the store is down, a request that is repeated runs again, and nothing of it is recorded or replayed";
    let checked = home.run(&["config", "check", "--config", file, "--when-store-down", "open"]);
    let expected = format!(
        "warning: policy.when_store_down = \"open\" (from --when-store-down): {costs}\n\
         warning: {file}:1: when_store_down = \"open\": {costs}\nthe configuration is good\n"
    );
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(0), expected.as_str()), "{}", checked.stderr);
    let printed = home.run(&["config", "print", "--config", file, "--json"]).json();
    let shown = |key: &str| printed[key]["value"].clone();
    assert_eq!(shown("policy.when_store_down"), json!("closed"));
    assert_eq!(shown("route.1.when_store_down"), json!("open"));
    let wrong = home.run(&["config", "check", "--when-store-down", "ajar"]);
    let (code, said) = refused(&wrong);
    assert_eq!(code, Some(2));
    assert!(
        said.contains(
            "policy.when_store_down = \"ajar\" (from --when-store-down): expected `closed` or `open`"
        ),
        "{said}"
    );
}

#[test]
fn an_unknown_name_in_the_file_is_shown_with_its_place_and_the_nearest_known() {
    let home = Home::new();
    let file = home.join("my.toml");
    fs::write(&file, "[proxy]\n\nlisen = \"127.0.0.1:0\"\n").unwrap();
    let file = file.to_str().unwrap();
    let expected = format!("onceward: {file}:3: unknown setting `proxy.lisen`; did you mean `proxy.listen`?");
    for arguments in [["config", "check", "--config", file], ["config", "print", "--config", file]] {
        assert_eq!(refused(&home.run(&arguments)), (Some(2), expected.as_str()));
    }
}

#[test]
fn config_print_names_the_source_of_each_value_and_no_password() {
    let home = Home::new();
    let file = home.join("my.toml");
    fs::write(&file, "[policy]\nretention = \"7d\"\nwait = \"1s\"\n[drain]\npatience = \"3s\"\n").unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["config", "print", "--config", file, "--upstream-proxy", "http://u:secret@127.0.0.1:1"];
    let with = |last: &[&str]| {
        let mut command = home.command(&[arguments.as_slice(), last].concat());
        ran(command
            .env("ONCEWARD_WAIT", "2s")
            .env("ONCEWARD_DRAIN_PATIENCE", "4s")
            .args(["--drain-patience", "5s"]))
    };
    let printed = with(&["--json"]);
    let values = printed.json();
    let of = |key: &str| (values[key]["value"].clone(), values[key]["from"].clone());
    assert_eq!(of("drain.patience"), (json!("5s"), json!("--drain-patience")));
    assert_eq!(of("policy.wait"), (json!("2s"), json!("$ONCEWARD_WAIT")));
    assert_eq!(of("policy.retention"), (json!("7d"), json!(file)));
    assert_eq!(of("policy.lease"), (json!("15s"), json!("default")));
    assert_eq!(of("proxy.upstream_proxy"), (json!("http://…@127.0.0.1:1"), json!("--upstream-proxy")));
    for shown in [printed.stdout, with(&[]).stdout] {
        assert!(shown.contains("…@127.0.0.1:1") && !shown.contains("secret@"), "{shown}");
    }
}

// covers: B7
#[test]
fn the_authority_is_one_in_every_form() {
    let home = Home::new();
    let shown = home.run(&["ca", "show", "--json"]).json();
    let pem = home.run(&["ca", "export"]).stdout;
    let cert_file = home.join("ca/ca-cert.pem");
    assert_eq!(shown["cert_file"], json!(cert_file));
    assert_eq!(pem.as_bytes(), bytes_of(&cert_file));
    assert_eq!(home.run(&["ca", "export", "--json"]).json(), json!({"pem": pem}));

    let der = home.command(&["ca", "export", "--format", "der"]).output().unwrap().stdout;
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    assert_eq!(der, base64_decoded(&base64));
    for (format, expected) in [("pem", pem.as_bytes()), ("der", der.as_slice())] {
        let file = home.join(format);
        let path = file.to_str().unwrap();
        let export = home.run(&["ca", "export", "--format", format, "--output", path, "--json"]);
        assert_eq!(export.json(), json!({"file": path}));
        assert_eq!(bytes_of(&file), expected);
    }
}

/// RFC 4648, section 4.
fn base64_decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let bits: String = digits.chars().map(|digit| format!("{:06b}", ALPHABET.find(digit).unwrap())).collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

#[test]
fn a_sound_store_is_verified_and_counted_beside_its_server() {
    let home = Home::new();
    let _server = home.serve(&[]);
    // The one record is the proof, made at the start, that replay works.
    let verified = home.run(&["store", "verify", "--json"]).json();
    assert_eq!(
        (&verified["ok"], &verified["records"], &verified["findings"]),
        (&json!(true), &json!(1), &json!([]))
    );
    let stats = home.run(&["store", "stats", "--json"]).json();
    let expected = json!({"absent": 0, "claimed": 0, "done": 1, "in-doubt": 0, "tombstone": 0});
    assert_eq!(stats["records"], expected);
    assert!(stats["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{stats}");
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let home = Home::new();
    let garbage = home.join("garbage");
    fs::write(&garbage, "not a database, and dear to somebody").unwrap();
    let missing = home.join("missing");
    for path in [&garbage, &missing] {
        let store = format!("sqlite:{}", path.display());
        for look in ["verify", "stats"] {
            let looked = home.run(&["store", look, "--json", "--store", &store]);
            let (code, said) = refused(&looked);
            assert_eq!(code, Some(3), "{said}");
            assert!(said.contains(path.to_str().unwrap()), "{said}");
        }
    }
    assert_eq!(bytes_of(&garbage), b"not a database, and dear to somebody");
    assert!(!missing.exists());
}

#[test]
fn a_second_server_of_one_store_is_refused_with_the_first_ones_pid() {
    let home = Home::new();
    let server = home.serve(&[]);
    let second = home.run(&["proxy", "--listen", "127.0.0.1:0"]);
    let expected = format!(
        "onceward: {} is in use by process {}: stop that one, or open read-only",
        home.join("onceward.db").display(),
        server.pid()
    );
    assert_eq!(refused(&second), (Some(3), expected.as_str()));
}

#[test]
fn a_taken_port_is_a_matter_of_configuration() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let second = home.run(&["proxy", "--listen", &address]);
    let (code, said) = refused(&second);
    assert_eq!(code, Some(2));
    assert!(said.starts_with(&format!("onceward: cannot listen on {address}: ")), "{said}");
}

#[test]
fn the_shell_gets_completions_and_a_manual_page() {
    for (arguments, expected) in [
        (["completions", "bash"].as_slice(), "complete -F _onceward"),
        (&["completions", "zsh"], "#compdef onceward"),
        (&["man"], ".TH onceward 1"),
    ] {
        let printed = ran(&mut command(arguments));
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(printed.stdout.contains(expected), "{arguments:?}: {}", printed.stdout);
    }
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    for arguments in [["proxy", "--lisen"].as_slice(), &["effects", "list", "--nope"], &["--nope"], &["nope"]]
    {
        let wrong = ran(&mut command(arguments));
        let (code, said) = refused(&wrong);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains("--help"), "{said}");
    }
}

#[test]
fn every_command_explains_itself() {
    /// With an example, where one says more than the flags.
    const EXAMPLES: [(&str, Option<&str>); 20] = [
        ("demo", Some("onceward demo --json")),
        ("proxy", Some("onceward proxy --listen 127.0.0.1:0 --json")),
        ("ca", None),
        ("ca show", None),
        ("ca export", Some("onceward ca export --format der --output onceward.der")),
        ("ca trust", None),
        ("effects", None),
        ("effects list", None),
        ("effects show", None),
        ("effects resolve", Some("onceward effects resolve order-17 --happened --because")),
        ("effects cancel", None),
        ("effects export", Some("onceward effects export --audit --key order-17")),
        ("effects erase", Some("onceward effects erase --actor 5f2c9a01b7de4433 --because")),
        ("store", None),
        ("store verify", None),
        ("store stats", None),
        ("config", None),
        ("config check", None),
        ("config print", None),
        ("completions", None),
    ];
    for (name, example) in EXAMPLES {
        let arguments: Vec<&str> = name.split(' ').chain(["--help"]).collect();
        let help = ran(&mut command(&arguments));
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{name}");
        assert!(help.stdout.contains(&format!("Usage: onceward {name}")), "{}", help.stdout);
        assert!(help.stdout.contains(example.unwrap_or_default()), "{}", help.stdout);
    }
    let version = ran(&mut command(&["--version"]));
    let expected = concat!("onceward ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.code, version.stdout.as_str()), (Some(0), expected));
}
