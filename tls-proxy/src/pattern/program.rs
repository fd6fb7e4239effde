//! A pattern's tree as instructions for the backtracking matcher.

use super::set::ByteSet;
use super::syntax::{Assert, Greed, Node};

/// Most instructions of one pattern.
const LARGEST: usize = 100_000;

#[derive(Debug)]
pub(super) enum Instruction {
    Match,
    Byte(u8),
    Set(Box<ByteSet>),
    Jump(usize),
    /// The first is tried, then the second.
    Split {
        first: usize,
        second: usize,
    },
    /// Remembers the place.
    Save(usize),
    /// Fails at the place that was remembered.
    Moved(usize),
    Assert(Assert),
    /// Goes back so many bytes.
    Back(usize),
    Again {
        group: usize,
        caseless: bool,
    },
    /// What follows, up to its `Match`, once; then on at `end`.
    Atomic {
        end: usize,
    },
    Look {
        negated: bool,
        end: usize,
    },
}

/// A pattern to run.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) code: Vec<Instruction>,
    /// Places that are remembered: two for each group, more for loops.
    pub(super) slots: usize,
    /// It matches at the subject's start or nowhere.
    pub(super) anchored: bool,
}

impl Program {
    /// Compiles a tree; none where it becomes too large.
    pub(super) fn compile(node: &Node, groups: usize) -> Option<Self> {
        let mut program = Self {
            code: Vec::new(),
            slots: (groups + 1) * 2,
            anchored: starts_at_the_start(node),
        };
        program.add(node)?;
        program.push(Instruction::Match)?;
        Some(program)
    }

    fn push(&mut self, instruction: Instruction) -> Option<usize> {
        self.code.push(instruction);
        (self.code.len() <= LARGEST).then(|| self.code.len() - 1)
    }

    fn add(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Empty => {}
            Node::Byte(byte) => drop(self.push(Instruction::Byte(*byte))?),
            Node::Set(set) => drop(self.push(Instruction::Set(Box::new(*set)))?),
            Node::Assert(assert) => drop(self.push(Instruction::Assert(*assert))?),
            Node::Again { group, caseless } => {
                let (group, caseless) = (*group, *caseless);
                self.push(Instruction::Again { group, caseless })?;
            }
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.add(node))?,
            Node::Either(nodes) => self.add_either(nodes, Self::add)?,
            Node::Group(number, node) => {
                self.push(Instruction::Save(number * 2))?;
                self.add(node)?;
                self.push(Instruction::Save(number * 2 + 1))?;
            }
            Node::Repeat {
                node,
                least,
                most,
                greed: Greed::Possessive,
            } => self.add_once(|own| own.add_repeat(node, *least, *most, true))?,
            Node::Repeat {
                node,
                least,
                most,
                greed,
            } => self.add_repeat(node, *least, *most, *greed == Greed::Greedy)?,
            Node::Atomic(node) => self.add_once(|own| own.add(node))?,
            Node::Look {
                behind,
                negated,
                node,
            } => self.add_look(*behind, *negated, node)?,
        }
        Some(())
    }

    fn add_either(
        &mut self,
        nodes: &[Node],
        add: fn(&mut Self, &Node) -> Option<()>,
    ) -> Option<()> {
        let mut ends = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            if index + 1 == nodes.len() {
                add(self, node)?;
                break;
            }
            let split = self.push(Instruction::Jump(0))?;
            add(self, node)?;
            ends.push(self.push(Instruction::Jump(0))?);
            self.code[split] = Instruction::Split {
                first: split + 1,
                second: self.code.len(),
            };
        }
        let end = self.code.len();
        for jump in ends {
            self.code[jump] = Instruction::Jump(end);
        }
        Some(())
    }

    fn add_repeat(
        &mut self,
        node: &Node,
        least: u32,
        most: Option<u32>,
        greedy: bool,
    ) -> Option<()> {
        for _ in 0..least {
            self.add(node)?;
        }
        let Some(most) = most else {
            return self.add_loop(node, greedy);
        };
        let mut splits = Vec::new();
        for _ in least..most {
            splits.push(self.push(Instruction::Jump(0))?);
            self.add(node)?;
        }
        let end = self.code.len();
        for split in splits {
            self.code[split] = choice(split + 1, end, greedy);
        }
        Some(())
    }

    fn add_loop(&mut self, node: &Node, greedy: bool) -> Option<()> {
        let split = self.push(Instruction::Jump(0))?;
        // A round of known width moves on by itself.
        let checked = node.width().is_none_or(|width| width == 0);
        let slot = self.slots;
        if checked {
            self.slots += 1;
            self.push(Instruction::Save(slot))?;
        }
        self.add(node)?;
        if checked {
            self.push(Instruction::Moved(slot))?;
        }
        self.push(Instruction::Jump(split))?;
        self.code[split] = choice(split + 1, self.code.len(), greedy);
        Some(())
    }

    fn add_once(&mut self, add: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        let start = self.push(Instruction::Jump(0))?;
        add(self)?;
        self.push(Instruction::Match)?;
        let end = self.code.len();
        self.code[start] = Instruction::Atomic { end };
        Some(())
    }

    fn add_look(&mut self, behind: bool, negated: bool, node: &Node) -> Option<()> {
        let start = self.push(Instruction::Jump(0))?;
        match node {
            Node::Either(nodes) if behind => self.add_either(nodes, Self::add_behind)?,
            node if behind => self.add_behind(node)?,
            node => self.add(node)?,
        }
        self.push(Instruction::Match)?;
        let end = self.code.len();
        self.code[start] = Instruction::Look { negated, end };
        Some(())
    }

    fn add_behind(&mut self, node: &Node) -> Option<()> {
        self.push(Instruction::Back(node.width()?))?;
        self.add(node)
    }
}

fn choice(inside: usize, outside: usize, greedy: bool) -> Instruction {
    let (first, second) = if greedy {
        (inside, outside)
    } else {
        (outside, inside)
    };
    Instruction::Split { first, second }
}

fn starts_at_the_start(node: &Node) -> bool {
    match node {
        Node::Assert(Assert::Start) => true,
        Node::Concat(nodes) => nodes.first().is_some_and(starts_at_the_start),
        Node::Group(_, node) | Node::Atomic(node) => starts_at_the_start(node),
        Node::Either(nodes) => nodes.iter().all(starts_at_the_start),
        _ => false,
    }
}
