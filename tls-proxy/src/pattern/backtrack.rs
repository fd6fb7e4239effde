//! Patterns with look-around, references and the like: a backtracking
//! matcher, whose steps are bounded because a request can make it run away.

use super::program::{Instruction, Program};
use super::set::is_word;
use super::syntax::Assert;

/// Steps of one match; PCRE has such a bound too (`MATCH_LIMIT`). It also
/// bounds the memory: a step remembers 16 bytes at most.
const MOST_STEPS: u32 = 500_000;

/// A match took too many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the match takes too many steps")]
pub(crate) struct Runaway;

/// Where a group begins or ends; none where it took no part.
pub(super) type Slots = Vec<Option<u32>>;

/// What is undone, or tried instead, where a match fails.
enum Choice {
    Try { at: usize, place: u32 },
    Restore { slot: usize, old: Option<u32> },
}

/// Finds the first match: the slots of its groups, two for each.
pub(super) fn find(program: &Program, subject: &[u8]) -> Result<Option<Slots>, Runaway> {
    let mut machine = Machine {
        program,
        subject,
        slots: vec![None; program.slots],
        choices: Vec::new(),
        steps: 0,
    };
    let last = if program.anchored { 0 } else { subject.len() };
    for start in 0..=last {
        if machine.run(0, start)?.is_some() {
            return Ok(Some(machine.slots));
        }
    }
    Ok(None)
}

struct Machine<'a> {
    program: &'a Program,
    subject: &'a [u8],
    slots: Slots,
    choices: Vec<Choice>,
    steps: u32,
}

impl Machine<'_> {
    /// Runs from an instruction to its `Match`; the place where that was.
    /// It calls itself only as deep as the pattern's groups are nested.
    fn run(&mut self, at: usize, place: usize) -> Result<Option<usize>, Runaway> {
        let base = self.choices.len();
        let (mut at, mut place) = (at, place);
        loop {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(Runaway);
            }
            let next = match &self.program.code[at] {
                Instruction::Match => {
                    self.forget_choices(base);
                    return Ok(Some(place));
                }
                other => self.step(other, at, place)?,
            };
            match next.or_else(|| self.give_way(base)) {
                Some((to, there)) => (at, place) = (to, there),
                None => return Ok(None),
            }
        }
    }

    /// One instruction; none where it fails.
    fn step(
        &mut self,
        instruction: &Instruction,
        at: usize,
        place: usize,
    ) -> Result<Option<(usize, usize)>, Runaway> {
        let byte = self.subject.get(place);
        let moves = |holds: bool, by: usize| holds.then_some((at + 1, place + by));
        Ok(match instruction {
            Instruction::Match => None,
            Instruction::Byte(own) => moves(byte == Some(own), 1),
            Instruction::Set(set) => moves(byte.is_some_and(|byte| set.has(*byte)), 1),
            Instruction::Jump(to) => Some((*to, place)),
            Instruction::Split { first, second } => {
                self.choices.push(Choice::Try {
                    at: *second,
                    place: place as u32,
                });
                Some((*first, place))
            }
            Instruction::Save(slot) => {
                self.save(*slot, Some(place as u32));
                moves(true, 0)
            }
            // A round of a loop that matched nothing is its last.
            Instruction::Moved(slot) => moves(self.slots[*slot] != Some(place as u32), 0),
            Instruction::Assert(assert) => moves(self.holds(*assert, place), 0),
            Instruction::Back(count) => place.checked_sub(*count).map(|place| (at + 1, place)),
            Instruction::Again { group, caseless } => {
                let length = self.again(*group, *caseless, place);
                length.map(|length| (at + 1, place + length))
            }
            Instruction::Atomic { end } => self.run(at + 1, place)?.map(|place| (*end, place)),
            Instruction::Look { negated, end } => {
                let base = self.choices.len();
                let found = self.run(at + 1, place)?.is_some();
                if found && *negated {
                    self.undo(base);
                }
                (found != *negated).then_some((*end, place))
            }
        })
    }

    fn save(&mut self, slot: usize, value: Option<u32>) {
        let old = self.slots[slot];
        self.choices.push(Choice::Restore { slot, old });
        self.slots[slot] = value;
    }

    /// The latest choice that is left; what came after it is undone.
    fn give_way(&mut self, base: usize) -> Option<(usize, usize)> {
        while self.choices.len() > base {
            match self.choices.pop()? {
                Choice::Try { at, place } => return Some((at, place as usize)),
                Choice::Restore { slot, old } => self.slots[slot] = old,
            }
        }
        None
    }

    fn undo(&mut self, base: usize) {
        while self.give_way(base).is_some() {}
    }

    /// What has matched is not tried otherwise, but can still be undone.
    fn forget_choices(&mut self, base: usize) {
        let mut kept = base;
        for index in base..self.choices.len() {
            if matches!(self.choices[index], Choice::Restore { .. }) {
                self.choices.swap(kept, index);
                kept += 1;
            }
        }
        self.choices.truncate(kept);
    }

    fn holds(&self, assert: Assert, place: usize) -> bool {
        let subject = self.subject;
        let before = place.checked_sub(1).and_then(|before| subject.get(before));
        let behind = subject.get(place);
        let word = |byte: Option<&u8>| byte.is_some_and(|byte| is_word(*byte));
        match assert {
            Assert::Start => place == 0,
            Assert::LineStart => before.is_none_or(|byte| *byte == b'\n'),
            Assert::End => behind.is_none(),
            Assert::EndOrNewline => {
                behind.is_none() || (behind == Some(&b'\n') && place + 1 == subject.len())
            }
            Assert::LineEnd => behind.is_none_or(|byte| *byte == b'\n'),
            Assert::Boundary => word(before) != word(behind),
            Assert::NoBoundary => word(before) == word(behind),
        }
    }

    /// The length of a group's text, where it stands here again.
    fn again(&mut self, group: usize, caseless: bool, place: usize) -> Option<usize> {
        let (from, to) = (self.slots[group * 2]?, self.slots[group * 2 + 1]?);
        let text = self.subject.get(from as usize..to as usize)?;
        let here = self.subject.get(place..place + text.len())?;
        self.steps += (text.len() / 16) as u32;
        let same = if caseless {
            here.eq_ignore_ascii_case(text)
        } else {
            here == text
        };
        same.then_some(text.len())
    }
}
