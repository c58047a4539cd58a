//! Expressions and what `systemd-analyze calendar` of 252, 257 and 262 says of them.

use super::check;

#[test]
fn the_verdicts_are_those_of_systemd() {
    for line in include_str!("verdicts.txt").lines() {
        let (verdict, expression) = line.split_once(' ').unwrap();
        match (check(expression), verdict) {
            (Ok(()), "good") | (Err(_), "bad") => {}
            (ours, _) => panic!("{expression:?} is {verdict} to systemd, here {ours:?}"),
        }
    }
    assert_eq!(include_str!("verdicts.txt").lines().count(), 663);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (expression, fault) in [
        ("", r#"at character 1 is nothing: a calendar event is expected, as "Mon..Fri *-*-* 10:00""#),
        ("Mon *-13-01", r#""13" (at character 7) is not a month (1 to 12)"#),
        ("25:00", r#""25" (at character 1) is not an hour (0 to 23)"#),
        ("Mon..Xyz", r#""Xyz" (at character 6) is not a day of the week"#),
        ("Monn 10:00", r#""Monn" (at character 1) is not a day of the week"#),
        ("Mon..", r#"".." (at character 4) begins a range that does not end"#),
        ("*-*-* 10:61:00", r#""61" (at character 10) is not a minute (0 to 59)"#),
        (
            "10:00 Nowhere/City",
            "\"Nowhere/City\" (at character 7) is not a time zone (expected one of /usr/share/zoneinfo, \
                                as \"Europe/Berlin\", or UTC)",
        ),
        ("10:00:", "at character 7 a number is missing"),
        ("10", "at character 3 something is missing"),
        ("é", r#""é" (at character 1) is not a number"#),
        ("*-*-1é", r#""é" (at character 6) is not expected after a number"#),
        ("*:0/0", r#""0" (at character 5) is no step: it is at least 1"#),
        ("*-*~29", r#""29" (at character 5) is not a day before the end of a month (1 to 28)"#),
    ] {
        match check(expression) {
            Err(said) => assert_eq!(said.to_string(), fault, "{expression:?}"),
            Ok(()) => panic!("{expression:?}"),
        }
    }
}

/// Neither long nor odd text takes long, or panics.
#[test]
fn long_and_odd_texts() {
    let parts = ["*", "-", "~", ":", "..", "/", ",", ".", "1", "Mon", " ", "@", "é", "\t", "+", "99999999999999999999"];
    for one in parts {
        for other in parts {
            for times in [1, 1000] {
                let text = format!("{one}{other}").repeat(times);
                let _ = (check(&text), check(&format!("Mon {text}")), check(&format!("1{text}")));
            }
        }
    }
}
