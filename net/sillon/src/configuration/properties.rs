//! Java's properties files, as far as Kafka's configuration uses them.

/// A line that says something, with its number (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub line: usize,
    pub key: String,
    pub value: String,
}

/// Reads a file: `key=value`, `key: value` or `key value`; `#` and `!` begin comments, a `\` at the
/// end of a line continues it, and `\t \n \r \f \uXXXX` and any other escaped character stand for
/// themselves.
pub fn parse(text: &str) -> Result<Vec<Property>, (usize, &'static str)> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while continues(&whole) {
            whole.pop();
            match lines.next() {
                Some((_, more)) => whole.push_str(more.trim_start()),
                None => break,
            }
        }
        let at = number + 1;
        let (key, value) = split(&whole);
        properties.push(Property {
            line: at,
            key: unescaped(key).map_err(|reason| (at, reason))?,
            value: unescaped(value).map_err(|reason| (at, reason))?,
        });
    }
    Ok(properties)
}

/// Whether an odd number of backslashes ends the line.
fn continues(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\');
    backslashes.count() % 2 == 1
}

/// Key and value: the first `=`, `:` or white space that is not escaped parts them.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let is_end = |character: char| {
        let ends = !is_escaped && (matches!(character, '=' | ':') || character.is_whitespace());
        is_escaped = !is_escaped && character == '\\';
        ends
    };
    let end = line.find(is_end).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start())
}

fn unescaped(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                let code = code.filter(|_| digits.len() == 4).and_then(char::from_u32);
                out.push(code.ok_or("\\u needs four hexadecimal digits of a character")?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_as_java_reads_them() {
        let text = "# comment\n! another\n\n a=1\nb : 2\nc 3\nd=\n  e = x\\\n    y=z  \n\
                    f\\=g=\\u0041\\tB\\\\\nlast=1\\";
        let read: Vec<(usize, String, String)> = parse(text)
            .unwrap()
            .into_iter()
            .map(|property| (property.line, property.key, property.value))
            .collect();
        let expected = [
            (4, "a", "1"),
            (5, "b", "2"),
            (6, "c", "3"),
            (7, "d", ""),
            (8, "e", "xy=z  "),
            (10, "f=g", "A\tB\\"),
            (11, "last", "1"),
        ];
        let expected: Vec<(usize, String, String)> = expected
            .map(|(line, key, value)| (line, key.to_owned(), value.to_owned()))
            .to_vec();
        assert_eq!(read, expected);
        assert_eq!(parse("a=1\nb=\\u12").unwrap_err().0, 2);
    }
}
