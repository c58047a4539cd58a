//! Calendar events in text (`systemd.time(7)`, "Calendar events"): whether systemd takes one, and if not, where it goes
//! wrong. It is sent as it is.

mod zone;

/// What is wrong with an expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is at fault; empty where something is missing.
    part: String,
    /// Where that stands, in characters from 1.
    at: usize,
    reason: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault { part, at, reason } = self;
        match part.as_str() {
            "" => write!(f, "at character {at} {reason}"),
            part => write!(f, "{part:?} (at character {at}) {reason}"),
        }
    }
}

/// Names for whole expressions.
const SHORTHANDS: [&str; 13] = [
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semi-annually",
    "semiannually",
    "bi-annually",
    "biannually",
    "annually",
    "yearly",
    // systemd takes this too.
    "anually",
];

const WEEKDAYS: [[&str; 2]; 7] = [
    ["monday", "mon"],
    ["tuesday", "tue"],
    ["wednesday", "wed"],
    ["thursday", "thu"],
    ["friday", "fri"],
    ["saturday", "sat"],
    ["sunday", "sun"],
];

/// More values than this in one list are refused.
const MOST_VALUES: usize = 241;

/// A second, in the units in which seconds are counted here.
const SECOND: u64 = 1_000_000;

/// The largest number.
const LARGEST: u64 = i32::MAX as u64;

/// The last second of the last year, since 1970.
const LAST: u64 = 7_258_118_399;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    /// Days before the end of a month.
    LastDay,
    Hour,
    Minute,
    /// In µs.
    Second,
}

/// A number, and where it stands in the text.
#[derive(Debug, Clone, Copy)]
struct Number {
    value: u64,
    at: usize,
    end: usize,
}

/// `start`, `start..stop`, `start/repeat` or `start..stop/repeat`.
#[derive(Debug, Clone, Copy)]
struct Component {
    start: Number,
    stop: Option<Number>,
    repeat: Option<Number>,
}

/// A list of them; none is `*`.
type Chain = Vec<Component>;

/// Checks an expression.
pub(super) fn check(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(fault(text, 0, 0, "is nothing: a calendar event is expected, as \"Mon..Fri *-*-* 10:00\""));
    }
    let event = zone::strip(text);
    if event.is_empty() {
        return Err(fault(text, 0, 0, "is nothing before the time zone"));
    }
    if SHORTHANDS.iter().any(|name| name.eq_ignore_ascii_case(event)) {
        return Ok(());
    }
    let mut reader = Reader { text: event, at: 0 };
    reader.event().map_err(|fault| if event.len() == text.len() { zone::explain(text, fault) } else { fault })
}

/// What stands from `at` to `end` is wrong.
fn fault(text: &str, at: usize, end: usize, reason: impl Into<String>) -> Fault {
    Fault { part: text[at..end].into(), at: text[..at].chars().count() + 1, reason: reason.into() }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn event(&mut self) -> Result<(), Fault> {
        self.weekdays()?;
        if self.rest().starts_with('@') {
            self.at += 1;
            self.since_1970()?;
        } else {
            self.date()?;
            self.time()?;
        }
        match self.rest() {
            "" => Ok(()),
            _ => Err(self.unexpected("is not expected here")),
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, word: &str) -> bool {
        let eaten = self.rest().starts_with(word);
        if eaten {
            self.at += word.len();
        }
        eaten
    }

    fn skip_blanks(&mut self) {
        while self.eat(" ") {}
    }

    fn at_end_of_word(&self) -> bool {
        matches!(self.peek(), None | Some(' '))
    }

    /// The error for what stands next, as far as it belongs together.
    fn unexpected(&self, reason: &str) -> Fault {
        let rest = self.rest();
        let alike = |c: char| c.is_alphanumeric();
        let length = match rest.chars().next() {
            None => 0,
            Some(c) if alike(c) => rest.find(|c| !alike(c)).unwrap_or(rest.len()),
            Some(c) => c.len_utf8(),
        };
        match length {
            0 => fault(self.text, self.at, self.at, "something is missing"),
            length => fault(self.text, self.at, self.at + length, reason),
        }
    }

    fn wrong(&self, number: Number, reason: &str) -> Fault {
        fault(self.text, number.at, number.end, reason)
    }

    /// Weekdays, if it begins with some: `Mon`, `Mon,Wed`, `Mon..Fri`. The old form of a range is `Mon-Fri`.
    fn weekdays(&mut self) -> Result<(), Fault> {
        let mut from: Option<usize> = None;
        let mut first = true;
        loop {
            let at = self.at;
            let Some((day, length)) = weekday(self.rest()) else {
                return if first { Ok(()) } else { Err(self.unexpected("is not a day of the week")) };
            };
            self.at += length;
            if !matches!(self.peek(), None | Some(' ' | ',' | '.' | '-')) {
                self.at = at;
                return Err(self.unexpected("is not a day of the week"));
            }
            if from.is_some_and(|from| from > day) {
                let reason = "comes before the day that the range begins with: a week begins on Monday";
                return Err(fault(self.text, at, self.at, reason));
            }
            let in_range = from.take().is_some();
            if self.at_end_of_word() {
                self.skip_blanks();
                return Ok(());
            }
            let separator = self.at;
            if self.eat("..") || self.eat("-") {
                if in_range {
                    return Err(fault(self.text, separator, self.at, "follows a range: a range has two ends"));
                }
                from = Some(day);
            } else if !self.eat(",") {
                return Err(self.unexpected("is not expected here: a range is written \"..\""));
            }
            if self.at_end_of_word() {
                // A list may end with a comma.
                if from.is_some() {
                    return Err(fault(self.text, separator, self.at, "begins a range that does not end"));
                }
                self.skip_blanks();
                return Ok(());
            }
            first = false;
        }
    }

    /// What comes after `@`: seconds since 1970, as `strtoul(3)` reads them.
    fn since_1970(&mut self) -> Result<(), Fault> {
        while self.peek().is_some_and(|c| " \t\n\r\u{b}\u{c}".contains(c)) {
            self.at += 1;
        }
        let at = self.at;
        let negative = self.eat("-");
        if !negative {
            self.eat("+");
        }
        let digits = self.digits();
        if digits.is_empty() {
            return Err(self.unexpected("is not a number"));
        }
        self.at += digits.len();
        match digits.parse::<u64>() {
            Ok(0) => Ok(()),
            Ok(seconds) if !negative && seconds <= LAST => Ok(()),
            _ => Err(fault(self.text, at, self.at, "is not a time in the years 1970 to 2199")),
        }
    }

    /// A date, if it goes on with one: `2020-02-03`, `02-03`, `*-*-1`, `*-02~03`.
    fn date(&mut self) -> Result<(), Fault> {
        if self.rest().is_empty() {
            return Ok(());
        }
        let begin = self.at;
        let first = self.chain(Unit::Day)?;
        if matches!(self.peek(), None | Some(':')) {
            self.at = begin;
            return Ok(());
        }
        let mut last = self.dash()?;
        let second = self.chain(Unit::Day)?;
        if self.at_end_of_word() {
            self.valid(&first, Unit::Month)?;
            self.valid(&second, last)?;
        } else {
            if last == Unit::LastDay {
                return Err(self.unexpected("is not expected after the days before the end of a month"));
            }
            last = self.dash()?;
            let third = self.chain(Unit::Day)?;
            if !self.at_end_of_word() {
                return Err(self.unexpected("is not expected after a date"));
            }
            self.valid(&first, Unit::Year)?;
            self.valid(&second, Unit::Month)?;
            self.valid(&third, last)?;
        }
        self.skip_blanks();
        Ok(())
    }

    /// What stands between the parts of a date: `~` before days that are counted from the end of a month.
    fn dash(&mut self) -> Result<Unit, Fault> {
        if self.eat("~") {
            Ok(Unit::LastDay)
        } else if self.eat("-") {
            Ok(Unit::Day)
        } else {
            Err(self
                .unexpected("is not expected here: the parts of a date have \"-\" between them, those of a time \":\""))
        }
    }

    /// A time, if it goes on with one: `10:00`, `*:0/15:30.5`.
    fn time(&mut self) -> Result<(), Fault> {
        if self.rest().is_empty() {
            return Ok(());
        }
        let hours = self.chain(Unit::Hour)?;
        if !self.eat(":") {
            return Err(self.unexpected("is not expected here: a time is written 10:00 or 10:00:00"));
        }
        let minutes = self.chain(Unit::Minute)?;
        let seconds = match self.peek() {
            None => Chain::new(),
            Some(_) if self.eat(":") => self.chain(Unit::Second)?,
            Some(_) => return Err(self.unexpected("is not expected after the minutes")),
        };
        if !self.rest().is_empty() {
            return Err(self.unexpected("is not expected after the time"));
        }
        self.valid(&hours, Unit::Hour)?;
        self.valid(&minutes, Unit::Minute)?;
        self.valid(&seconds, Unit::Second)
    }

    /// A list of values, or `*`. What they count is known only later, but for seconds, which have fractions.
    fn chain(&mut self, unit: Unit) -> Result<Chain, Fault> {
        let mut chain = Chain::new();
        if self.eat("*") {
            return Ok(chain);
        }
        loop {
            let component = self.component(unit)?;
            chain.push(component);
            if chain.len() > MOST_VALUES {
                return Err(
                    self.wrong(component.start, &format!("is one value too many: at most {MOST_VALUES} are taken"))
                );
            }
            if !self.eat(",") {
                return Ok(chain);
            }
        }
    }

    fn component(&mut self, unit: Unit) -> Result<Component, Fault> {
        let start = self.number(unit)?;
        let stop = self.eat("..").then(|| self.number(unit)).transpose()?;
        let repeat = self.eat("/").then(|| self.number(unit)).transpose()?;
        if let Some(repeat) = repeat.filter(|repeat| repeat.value == 0) {
            return Err(self.wrong(repeat, "is no step: it is at least 1"));
        }
        if !matches!(self.peek(), None | Some(' ' | ',' | '-' | '~' | ':')) {
            return Err(self.unexpected("is not expected after a number"));
        }
        Ok(Component { start, stop, repeat })
    }

    fn number(&mut self, unit: Unit) -> Result<Number, Fault> {
        let mut number = self.whole()?;
        if unit != Unit::Second {
            return Ok(number);
        }
        number.value *= SECOND;
        // Two dots are a range.
        if self.rest().starts_with('.') && !self.rest().starts_with("..") {
            self.at += 1;
            let digits = self.digits();
            if digits.is_empty() {
                return Err(self.unexpected("is not expected after the point: digits are"));
            }
            let value = |digits: &str| format!("{digits:0<6}").parse::<u64>().unwrap_or(0);
            let (kept, dropped) = digits.split_at(digits.len().min(6));
            let fraction = value(kept) + u64::from(dropped.bytes().next().is_some_and(|digit| digit >= b'5'));
            number.value += fraction;
            self.at += digits.len();
            number.end = self.at;
        }
        if number.value > LARGEST {
            return Err(self.wrong(number, "is too large"));
        }
        Ok(number)
    }

    fn digits(&self) -> String {
        self.rest().chars().take_while(char::is_ascii_digit).collect()
    }

    fn whole(&mut self) -> Result<Number, Fault> {
        let digits = self.digits();
        if digits.is_empty() {
            return Err(match self.peek() {
                None => fault(self.text, self.at, self.at, "a number is missing"),
                Some(_) => self.unexpected("is not a number"),
            });
        }
        let (at, end) = (self.at, self.at + digits.len());
        self.at = end;
        match digits.parse() {
            Ok(value) if value <= LARGEST => Ok(Number { value, at, end }),
            _ => Err(fault(self.text, at, end, "is too large")),
        }
    }

    fn valid(&self, chain: &Chain, unit: Unit) -> Result<(), Fault> {
        let (from, to) = unit.range();
        let mut seen = Vec::new();
        for Component { start: first, stop: last, repeat } in chain {
            let start = unit.full(first.value);
            let step = match repeat {
                Some(repeat) => repeat.value,
                None if unit == Unit::Second => SECOND,
                None => 1,
            };
            if !(from..=to).contains(&start) {
                return Err(self.wrong(*first, unit.expected()));
            }
            let Some(last) = last else {
                // Days before the end of a month are counted down.
                let room = if unit == Unit::LastDay { start - from } else { to - start };
                if let Some(repeat) = repeat.filter(|repeat| repeat.value > room) {
                    return Err(self.wrong(repeat, "is a step beyond the last value"));
                }
                seen.push((start, None, step, first));
                continue;
            };
            let stop = unit.full(last.value);
            if stop < start {
                return Err(self.wrong(*last, "comes before the value that the range begins with"));
            }
            if unit == Unit::Second && repeat.is_none() && stop < start + SECOND {
                return Err(self.wrong(*last, "ends a range of less than a second"));
            }
            // It counts only as far as the steps lead.
            let stop = stop - (stop - start) % step;
            if stop > to {
                return Err(self.wrong(*last, unit.expected()));
            }
            seen.push((start, Some(stop), step, first));
        }
        if unit == Unit::LastDay {
            // systemd allows three days less for each value of a list, as it has them sorted.
            seen.sort_by_key(|(start, stop, step, _)| (*start, *stop, *step));
            seen.dedup_by_key(|(start, stop, step, _)| (*start, *stop, *step));
            let too_many = |(at, (start, stop, _, _)): &(usize, &(u64, Option<u64>, u64, &Number))| {
                stop.unwrap_or(*start).max(*start) + 3 * *at as u64 > to
            };
            if let Some((at, (.., first))) = seen.iter().enumerate().find(too_many) {
                let most = to.saturating_sub(3 * at as u64);
                let reason = format!("is more than systemd takes here: {most}, as value {} of a list", at + 1);
                return Err(self.wrong(**first, &reason));
            }
        }
        Ok(())
    }
}

impl Unit {
    /// The values that it has.
    fn range(self) -> (u64, u64) {
        match self {
            Unit::Year => (1970, 2199),
            Unit::Month => (1, 12),
            Unit::Day => (1, 31),
            Unit::LastDay => (1, 28),
            Unit::Hour => (0, 23),
            Unit::Minute => (0, 59),
            Unit::Second => (0, 60 * SECOND - 1),
        }
    }

    /// Years may be written with two digits.
    fn full(self, value: u64) -> u64 {
        match (self, value) {
            (Unit::Year, 0..70) => 2000 + value,
            (Unit::Year, 70..100) => 1900 + value,
            _ => value,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Unit::Year => "is not a year (1970 to 2199)",
            Unit::Month => "is not a month (1 to 12)",
            Unit::Day => "is not a day of a month (1 to 31)",
            Unit::LastDay => "is not a day before the end of a month (1 to 28)",
            Unit::Hour => "is not an hour (0 to 23)",
            Unit::Minute => "is not a minute (0 to 59)",
            Unit::Second => "is not a second (0 to 59)",
        }
    }
}

/// The day of the week that the text begins with, and the length of its name.
fn weekday(text: &str) -> Option<(usize, usize)> {
    let begins = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let found =
        |(day, names): (usize, &[&str; 2])| names.iter().find(|name| begins(name)).map(|name| (day, name.len()));
    WEEKDAYS.iter().enumerate().find_map(found)
}

#[cfg(test)]
mod tests;
