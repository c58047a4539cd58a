//! As much JSON as the monitor's lines need: parts are found, and compared as the text that they are.

/// The text of each element of an array, or of each member (`"key":value`) of an object.
pub fn elements(text: &str) -> Vec<&str> {
    let inner = text.get(1..text.len() - 1).expect("an array or an object");
    let (mut elements, mut depth, mut from) = (Vec::new(), 0, 0);
    let mut bytes = inner.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                elements.push(&inner[from..at]);
                from = at + 1;
            }
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if !inner.is_empty() {
        elements.push(&inner[from..]);
    }
    elements
}

/// The text of the value that an object has for this key, which has nothing escaped in it.
pub fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    elements(object).into_iter().find_map(|element| {
        let rest = element.strip_prefix('"')?.strip_prefix(key)?;
        rest.strip_prefix("\":")
    })
}

#[test]
fn parts_are_found() {
    assert_eq!(elements("[]"), [""; 0]);
    assert_eq!(elements(r#"[1,"a,\"]b\\",[2,3],{"x":[4]}]"#), ["1", r#""a,\"]b\\""#, "[2,3]", r#"{"x":[4]}"#]);
    assert_eq!(member(r#"{"a":1,"b":{"c":"d"}}"#, "b"), Some(r#"{"c":"d"}"#));
    assert_eq!(member(r#"{"a":1}"#, "b"), None);
}
