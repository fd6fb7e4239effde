//! Pages of errors lead to further errors, but not for ever.

use crate::support::{Place, Proxy};

#[test]
fn a_page_for_a_search_that_gave_up_is_not_asked_for_again_and_again() {
    let proxy = Proxy::start(
        Place::new("pages_of_searches"),
        r#"map $arg_p $found { default ""; "~^((a|aa)+)+$" y; "~^(a+)+$" y; "~^(.*a){12}$" y; }
           server { listen {plain}; recursive_error_pages on;
             location /page { error_page 500 502 https://status.example/; if ($found) { return 403; } return 200 a; }
             location /other { error_page 500 =302 https://status.example/; if ($found) { return 403; } return 200 a; } }"#,
    );
    for path in ["page", "other"] {
        let target = format!("/{path}?p={}b", "a".repeat(100));
        assert_eq!(proxy.connect().fetch(&target).status, 500, "{path}");
    }
}
