//! Resource limits: `LIMIT` or `SOFT:HARD`.

use super::super::field::Field;
use super::super::forms::{Properties, unsplittable};
use super::super::split::{PLAIN, Splitter};
use super::super::{Property, numbers, time};

const AT_COLON: Splitter = PLAIN.separators(":").empty_words();

/// The same number as no limit.
const INFINITY: u64 = u64::MAX;

pub(super) fn number(field: &Field<'_>) -> Properties {
    limit(field, or_infinity(numbers::unsigned), "is not a limit (expected a whole number or \"infinity\")")
}

pub(super) fn size(field: &Field<'_>) -> Properties {
    let expected = "is not a limit (expected a number with K, M, G, T, P or E, or \"infinity\")";
    limit(field, or_infinity(numbers::size), expected)
}

/// Whole seconds: what is more than so many is one more.
pub(super) fn seconds(field: &Field<'_>) -> Properties {
    let read = |text: &str| match time::span(text)? {
        time::INFINITY => Some(INFINITY),
        span => Some(span.div_ceil(1_000_000)),
    };
    limit(field, read, time::SPAN)
}

pub(super) fn microseconds(field: &Field<'_>) -> Properties {
    let expected = "is not a time span (expected numbers with units, as \"500ms\"; microseconds where there is no unit; \
                    or \"infinity\")";
    limit(field, time::span_in_us, expected)
}

/// With a sign a nice level, from -20 to 19; without one 20 minus such a level, as setrlimit(2) has it.
pub(super) fn nice(field: &Field<'_>) -> Properties {
    let read = |text: &str| match text.as_bytes().first()? {
        b'+' => numbers::unsigned(&text[1..]).filter(|level| *level <= 19).map(|level| 20 - level),
        b'-' => numbers::unsigned(&text[1..]).filter(|level| *level <= 20).map(|level| 20 + level),
        _ => numbers::unsigned(text).filter(|limit| *limit <= 40),
    };
    limit(field, read, "is not a limit (expected -20 to +19 with a sign, or 0 to 40 without one)")
}

/// `infinity` or what `read` reads, but nothing that would be the same.
fn or_infinity(read: impl Fn(&str) -> Option<u64>) -> impl Fn(&str) -> Option<u64> {
    move |text| match text {
        "infinity" => Some(INFINITY),
        _ => read(text).filter(|limit| *limit != INFINITY),
    }
}

/// Sets the hard limit and the soft one.
fn limit(field: &Field<'_>, read: impl Fn(&str) -> Option<u64>, expected: &str) -> Properties {
    let mut rest = Some(field.value);
    let mut next = || {
        let word = AT_COLON.next(&mut rest).map_err(|unsplit| unsplittable(field, unsplit))?;
        word.map(|word| read(&word).ok_or_else(|| field.refuse_part(&word, expected))).transpose()
    };
    let soft = next()?.ok_or_else(|| field.refuse_part("", expected))?;
    let hard = next()?.unwrap_or(soft);
    if rest.is_some_and(|rest| !rest.is_empty()) {
        return Err(field.refuse("has more than two limits (expected LIMIT or SOFT:HARD)"));
    }
    if soft > hard {
        return Err(field.refuse("has a soft limit above the hard one (expected SOFT:HARD)"));
    }
    Ok(vec![
        Property::Set(field.name.to_owned().into(), hard.into()),
        Property::Set(format!("{}Soft", field.name).into(), soft.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    /// The hard and the soft limit.
    fn limits(assignment: &str) -> String {
        let name = assignment.split_once('=').unwrap().0;
        let sent = sent(assignment);
        sent.replacen(&format!("{name}=t"), "", 1).replacen(&format!("{name}Soft=t"), "", 1)
    }

    #[test]
    fn numbers_and_sizes() {
        assert_eq!(sent("LimitNOFILE=10:20"), "LimitNOFILE=t20;LimitNOFILESoft=t10");
        assert_eq!(limits("LimitNOFILE=010"), "8;8");
        assert_eq!(limits("LimitNPROC=10:infinity"), "18446744073709551615;10");
        assert_eq!(limits("LimitAS=1.5K:1G 1M"), "1074790400;1536");
        assert_eq!(limits("LimitAS=10:20:"), "20;10");
        for bad in ["", "x", "10:", ":10", "10::20", "-1", "1K", "18446744073709551615", "10 ", "Infinity"] {
            let error = refused(&format!("LimitNOFILE={bad}"));
            assert!(error.contains(r#"is not a limit (expected a whole number or "infinity")"#), "{error}");
        }
        assert_eq!(
            refused("LimitNOFILE=x"),
            r#"LimitNOFILE=x: "x" is not a limit (expected a whole number or "infinity")"#
        );
        assert!(refused("LimitAS=18446744073709551615").contains("K, M, G"));
    }

    #[test]
    fn the_soft_limit_is_not_above_the_hard_one() {
        assert!(refused("LimitNOFILE=20:10").contains("soft limit above the hard one"));
        assert!(refused("LimitCPU=infinity:1").contains("soft limit above the hard one"));
        assert!(refused("LimitNOFILE=1:2:3").contains("more than two limits"));
    }

    #[test]
    fn times() {
        assert_eq!(limits("LimitCPU=500ms:1min 1us"), "61;1");
        assert_eq!(limits("LimitCPU=infinity"), "18446744073709551615;18446744073709551615");
        assert_eq!(limits("LimitRTTIME=5:5ms"), "5000;5");
        assert!(refused("LimitCPU=x").contains("is not a time span"));
        assert!(refused("LimitRTTIME=1ns").contains("microseconds where there is no unit"));
    }

    #[test]
    fn nice_levels() {
        assert_eq!(limits("LimitNICE=+5:-20"), "40;15");
        assert_eq!(limits("LimitNICE=40"), "40;40");
        for bad in ["41", "-21", "+20", "infinity", "+", "--5", "é"] {
            assert!(refused(&format!("LimitNICE={bad}")).contains("-20 to +19"), "{bad}");
        }
    }
}
