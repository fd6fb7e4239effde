//! The command line: what is printed, where, and the exit codes.

use crate::support::proxy::{around, output};
use crate::support::{self, Client, Place, Proxy, stderr, stdout};

fn good() -> String {
    around("server { listen {plain}; return 200 good; }")
}

#[test]
fn a_good_configuration_passes_the_test() {
    let place = Place::new("good");
    let conf = place.write("nginx.conf", &good());
    let conf = conf.to_str().unwrap();
    let tested = output(&place, &["-t", "-c", conf]);
    assert_eq!(tested.status.code(), Some(0));
    assert_eq!(
        stderr(&tested),
        format!(
            "nginx: the configuration file {conf} syntax is ok\n\
             nginx: configuration file {conf} test is successful\n"
        )
    );
    let quiet = output(&place, &["-t", "-q", "-c", conf]);
    assert_eq!(
        (quiet.status.code(), stderr(&quiet).as_str()),
        (Some(0), "")
    );
    assert!(!place.path("nginx.pid").exists(), "a test serves nothing");
}

#[test]
fn a_test_says_what_differs_from_nginx() {
    let place = Place::new("differs");
    let conf = place.write(
        "nginx.conf",
        "user nobody;\nworker_rlimit_nofile 100;\nevents {}\nhttp {\n\
         reset_timedout_connection on;\nserver {\nlisten {plain} rcvbuf=8k;\n\
         reset_timedout_connection on;\nreturn 200 $ssl_session_id;\n}\n\
         server {\nlisten {tls};\nreset_timedout_connection off;\n}\n}\n",
    );
    let conf = conf.to_str().unwrap();
    for arguments in [["-t", "-c", conf], ["-T", "-c", conf]] {
        let tested = output(&place, &arguments);
        assert_eq!(tested.status.code(), Some(0));
        let said = stderr(&tested);
        let (notices, verdict): (Vec<_>, Vec<_>) = said
            .lines()
            .partition(|line| line.starts_with("nginx: [notice] "));
        assert_eq!(
            verdict,
            [
                format!("nginx: the configuration file {conf} syntax is ok"),
                format!("nginx: configuration file {conf} test is successful"),
            ]
        );
        for (at, what, read) in [
            (
                1,
                "\"user\" differs from nginx: ",
                "starting-in-a-container",
            ),
            (2, "\"worker_rlimit_nofile\" differs", "as-many-connections"),
            (
                5,
                "closed, not reset",
                "connections-that-are-reset (and one more line)",
            ),
            (7, "\"listen\" differs", "directives-without-effect"),
            (9, "$ssl_session_id differs", "ssl_session_id"),
        ] {
            let place = format!("{conf}:{at}: ");
            let mut here = notices.iter().filter(|line| line.contains(&place));
            let line = here.next().unwrap_or_else(|| panic!("{at}: {said}"));
            assert!(line.contains(what), "{line}");
            assert!(
                line.contains(&format!("; see docs/differences.md#{read}")),
                "{line}"
            );
        }
        assert_eq!(notices.len(), 5, "{said}");
    }
    let quiet = output(&place, &["-t", "-q", "-c", conf]);
    assert_eq!(
        (quiet.status.code(), stderr(&quiet).as_str()),
        (Some(0), "")
    );
}

#[test]
fn the_dump_shows_every_file() {
    let place = Place::new("dump");
    place.write("more.conf", "server { listen {plain}; }\n");
    let conf = place.write("nginx.conf", "events {}\nhttp { include more.conf; }\n");
    let dumped = output(&place, &["-T", "-c", conf.to_str().unwrap()]);
    assert_eq!(dumped.status.code(), Some(0));
    let text = stdout(&dumped);
    for name in ["nginx.conf", "more.conf"] {
        let path = place.path(name);
        let expected = format!(
            "# configuration file {}:\n{}",
            path.display(),
            place.read(name)
        );
        assert!(text.contains(&expected), "{text}");
    }
    assert!(stderr(&dumped).contains("test is successful"));
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let place = Place::new("mistakes");
    let conf = place.write(
        "nginx.conf",
        "events {}\nhttp {\n  server {\n    lisen 80;\n    proxy_pas x;\n  }\n}\n",
    );
    for arguments in [&["-t"][..], &["-t", "-q"], &[]] {
        let tested = output(
            &place,
            &[arguments, &["-c", conf.to_str().unwrap()]].concat(),
        );
        assert_eq!(tested.status.code(), Some(1));
        let said = stderr(&tested);
        assert!(said.contains("unknown directive \"lisen\""), "{said}");
        assert!(said.contains("nginx.conf:4"), "{said}");
        assert!(said.contains("nginx.conf:5"), "{said}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new("missing");
    let tested = output(&place, &["-t", "-c", "/nowhere/nginx.conf"]);
    assert_eq!(tested.status.code(), Some(1));
    let expected = "open() \"/nowhere/nginx.conf\" failed (2: No such file or directory)";
    assert!(stderr(&tested).contains(expected), "{}", stderr(&tested));
}

#[test]
fn version_build_and_help_are_printed() {
    let place = Place::new("version");
    for (option, expected) in [
        ("-v", "nginx version: tls-proxy/"),
        ("-V", "TLS SNI support enabled"),
        ("-h", "Usage: nginx [-?hvVtTq]"),
        ("-?", "Usage: nginx [-?hvVtTq]"),
    ] {
        let printed = output(&place, &[option]);
        assert_eq!(printed.status.code(), Some(0));
        assert!(stderr(&printed).contains(expected), "{printed:?}");
        assert_eq!(stdout(&printed), "", "all of it goes to standard error");
    }
}

#[test]
fn a_wrong_option_exits_64() {
    let place = Place::new("usage");
    for (arguments, expected) in [
        (&["-x"][..], "nginx: invalid option: \"x\"\n"),
        (&["serve"], "nginx: invalid option: \"serve\"\n"),
        (&["-c"], "nginx: option \"-c\" requires file name\n"),
        (&["-s", "halt"], "nginx: invalid option: \"-s halt\"\n"),
    ] {
        let refused = output(&place, arguments);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}");
        assert_eq!(stderr(&refused), expected);
    }
}

#[test]
fn globals_are_read_beside_the_file() {
    let place = Place::new("globals");
    let conf = place.write(
        "nginx.conf",
        "events {}\nhttp { server { listen {plain}; } }\n",
    );
    let conf = conf.to_str().unwrap();
    let tested = output(
        &place,
        &["-t", "-c", conf, "-g", "daemon off; worker_processes 2;"],
    );
    assert_eq!(tested.status.code(), Some(0), "{tested:?}");
    let wrong = output(&place, &["-t", "-c", conf, "-g", "demon off;"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        stderr(&wrong).contains("unknown directive \"demon\""),
        "{wrong:?}"
    );
}

#[test]
fn prefix_and_error_log_are_where_the_command_line_says() {
    let place = Place::new("prefix");
    place.write(
        "nginx.conf",
        "pid nginx.pid; events {} http { access_log here.log;
         server { listen {plain}; location / { proxy_pass http://{upstream}; } } }",
    );
    let folder = place.folder().to_str().unwrap().to_owned();
    let mut child = support::proxy::command(
        &place,
        &["-p", &folder, "-c", "nginx.conf", "-e", "errors.log"],
    )
    .current_dir("/")
    .spawn()
    .unwrap();
    support::eventually("the pid file", || !place.read("nginx.pid").is_empty());
    let mut client = Client::connect(place.address(support::place::PLAIN));
    assert_eq!(client.fetch("/").status, 502);
    support::eventually("both logs", || {
        place.read("here.log").contains("\" 502 ") && place.read("errors.log").contains("connect()")
    });
    let quit = output(&place, &["-p", &folder, "-c", "nginx.conf", "-s", "quit"]);
    assert!(quit.status.success(), "{quit:?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_address_in_use_is_one_line_that_names_it() {
    let proxy = Proxy::start_whole(Place::new("in-use"), &good());
    for workers in ["1", "2"] {
        let configuration = "worker_processes N; pid {folder}/other.pid; events {}
            http { server { listen {plain}; return 200 second; } }";
        let text = configuration.replace('N', workers);
        let conf = proxy.place.write("second.conf", &text);
        let second = output(&proxy.place, &["-c", conf.to_str().unwrap()]);
        assert_eq!(second.status.code(), Some(1));
        let address = proxy.place.address(support::place::PLAIN);
        let expected =
            format!("nginx: [emerg] bind() to {address} failed (98: Address already in use)\n");
        assert_eq!(stderr(&second), expected);
        assert!(
            !proxy.place.path("other.pid").exists(),
            "bound before it is written"
        );
    }
    assert_eq!(proxy.connect().fetch("/").text(), "good");
}

#[test]
fn a_signal_without_a_running_process_is_an_error() {
    let place = Place::new("nobody");
    let conf = place.write("nginx.conf", &good());
    let sent = output(&place, &["-c", conf.to_str().unwrap(), "-s", "reload"]);
    assert_eq!(sent.status.code(), Some(1));
    assert!(stderr(&sent).contains("nginx.pid\" failed (2: No such file or directory)"));
}

/// No system has so much memory for the stack of a thread.
#[test]
fn a_thread_that_is_refused_at_the_start_is_an_error() {
    let place = Place::new("threads");
    let conf = place.write("nginx.conf", &good());
    let mut command = support::proxy::command(&place, &["-c", conf.to_str().unwrap()]);
    let refused = command.env("RUST_MIN_STACK", (1_u64 << 60).to_string());
    let refused = refused.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let log = place.read("error.log");
    assert!(log.contains("worker 0 did not start: 11: "), "{log}");
    let said = stderr(&refused);
    assert!(!said.contains("panicked"), "{said}");
}
