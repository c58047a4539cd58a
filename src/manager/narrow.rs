//! Who waits for few units on a busy host need not read what all the others do: matches for their object paths alone.
//!
//! Rules for each unit do not scale, and cost messages for each: so this comes only where others' signals are many and
//! ours none, and ends with the next unit that is to be followed. What is needed is there before the rest is taken back.

use super::calls::bus_call;
use super::listening::{MATCHES, SCOPES};
use super::registry::Registry;
use super::tickets::Ticket;
use crate::bus::Context;
use crate::error::Result;
use crate::unit::name::UNIT_PATH;

/// So many signals of others in a row, with none of ours between.
const MANY: u32 = 64;

/// For no more units than that.
const FEW: usize = 16;

/// Of `MATCHES`, those for all units.
const BROAD: std::ops::Range<usize> = 1..3;

/// Whose signals come.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// How many of others came since the last of ours.
    foreign: u32,
    /// Tells late answers from those that are waited for.
    round: u32,
    /// The bus daemon has refused it once.
    refused: bool,
    scope: Scope,
}

#[derive(Debug, Default)]
enum Scope {
    #[default]
    All,
    /// All still, until the bus daemon has accepted so many more of the rules for these.
    Asked(usize, Vec<Box<str>>),
    /// These alone; before, those of scopes too.
    These(Vec<Box<str>>, bool),
}

fn rule(label: &str) -> String {
    format!(
        "type='signal',sender='org.freedesktop.systemd1',path='{UNIT_PATH}{label}',\
         interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'"
    )
}

impl Hearing {
    /// A signal was of a unit of ours.
    pub fn heard(&mut self) {
        self.foreign = 0;
    }
}

impl Registry {
    /// A signal was of a unit of others.
    pub(super) fn overheard(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        self.hearing.foreign += 1;
        if self.hearing.foreign < MANY {
            return Ok(());
        }
        self.hearing.foreign = 0;
        let triggers = !self.triggered.is_empty() || !self.to_trigger.is_empty();
        let few = (1..=FEW).contains(&self.units.len());
        let may = self.listening && !self.direct && !self.hearing.refused && !self.recovery.gap;
        if triggers || !few || !may || !matches!(self.hearing.scope, Scope::All) {
            return Ok(());
        }
        self.hearing.round += 1;
        let labels: Vec<_> = self.units.keys().cloned().collect();
        for label in &labels {
            let mut message = bus_call(cx, c"AddMatch")?;
            message.append_str(&rule(label))?;
            cx.call(message, Ticket::Narrow(self.hearing.round))?;
        }
        self.hearing.scope = Scope::Asked(labels.len(), labels);
        Ok(())
    }

    /// The bus daemon has answered to a rule for one unit.
    pub(super) fn narrowed(&mut self, round: u32, accepted: bool, cx: &mut Context<'_, Self>) -> Result<()> {
        let Scope::Asked(missing, labels) = &mut self.hearing.scope else { return Ok(()) };
        if round != self.hearing.round {
            return Ok(());
        }
        if !accepted {
            self.hearing.refused = true;
            return self.widen(cx);
        }
        *missing -= 1;
        if *missing > 0 {
            return Ok(());
        }
        let labels = std::mem::take(labels);
        let scopes = std::mem::take(&mut self.hears_scopes);
        self.hearing.scope = Scope::These(labels, scopes);
        for rule in MATCHES[BROAD].iter().chain(scopes.then_some(&SCOPES)) {
            remove(rule.to_str().expect("ASCII"), cx)?;
        }
        Ok(())
    }

    /// Has the signals of all units come again.
    pub(super) fn widen(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        self.hearing.foreign = 0;
        let labels = match std::mem::take(&mut self.hearing.scope) {
            Scope::All => return Ok(()),
            Scope::Asked(_, labels) => labels,
            Scope::These(labels, scopes) => {
                self.hears_scopes = scopes;
                for rule in MATCHES[BROAD].iter().chain(scopes.then_some(&SCOPES)) {
                    let mut message = bus_call(cx, c"AddMatch")?;
                    message.append_str(rule.to_str().expect("ASCII"))?;
                    cx.call(message, Ticket::Listen("AddMatch"))?;
                }
                labels
            }
        };
        labels.iter().try_for_each(|label| remove(&rule(label), cx))
    }

    /// The connection is gone, and the rules with it.
    pub(super) fn forget_narrow(&mut self) {
        self.hearing.scope = Scope::All;
    }

    /// Nothing is to be heard: the rules for all units that are not there need not be taken back.
    pub(super) fn remove_narrow(&mut self, cx: &mut Context<'_, Self>) -> Result<bool> {
        let (labels, broad) = match std::mem::take(&mut self.hearing.scope) {
            Scope::All => return Ok(true),
            Scope::Asked(_, labels) => (labels, true),
            Scope::These(labels, _) => (labels, false),
        };
        labels.iter().try_for_each(|label| remove(&rule(label), cx)).map(|()| broad)
    }
}

fn remove(rule: &str, cx: &mut Context<'_, Registry>) -> Result<()> {
    let mut message = bus_call(cx, c"RemoveMatch")?;
    message.append_str(rule)?;
    cx.send_only(message)
}

/// Whether this rule is for all units.
pub(super) fn is_broad(at: usize) -> bool {
    BROAD.contains(&at)
}
