//! A body in which texts are replaced.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};

use super::search::{Progress, SearchResult};
use super::{Pairs, SearchedTexts};
use crate::admission::{Need, SMALL_BODY};
use crate::request::gather::ENOUGH;
use crate::request::response::Content;
use crate::request::source::{FilterContext, Frame, Next, Source, Turn, UpstreamBody};

/// A body in which texts are replaced. What cannot be the beginning of one of them is passed on at
/// once.
pub(super) struct Substitution {
    inner: Content,
    all: Arc<Pairs>,
    found: SearchedTexts,
    /// What replaces each text, once one was found.
    values: Box<[Option<Bytes>]>,
    /// Bytes of the values that were computed for the request.
    computed: u64,
    /// How many of them have been waited for.
    counted: u64,
    need: Need,
    /// How far `held` and `data` have been searched.
    progress: Progress,
    /// How many texts are still searched for; `None` without `sub_filter_once`.
    left: Option<usize>,
    /// Bytes that may be the beginning of a text that continues in the next piece.
    held: BytesMut,
    /// What follows them and has not been searched.
    data: Bytes,
    /// The text that they begin with, which has been found.
    text: Option<usize>,
    /// What is left of the replacement of the text before them.
    next: Bytes,
    /// The end of the body, once it was reached.
    end: Option<Next>,
    turn: Turn,
}

impl Substitution {
    pub(super) fn new(inner: Content, all: Arc<Pairs>, found: SearchedTexts, once: bool) -> Self {
        let count = found.pairs.len();
        Self {
            inner,
            all,
            left: once.then_some(count),
            progress: found.search.begin(),
            values: vec![None; count].into(),
            found,
            computed: 0,
            counted: 0,
            need: Need::default(),
            data: Bytes::new(),
            held: BytesMut::new(),
            text: None,
            next: Bytes::new(),
            end: None,
            turn: Turn::default(),
        }
    }

    /// The next bytes to pass on; `None` if more input is needed.
    fn poll_piece(
        &mut self,
        request: &dyn FilterContext,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        loop {
            if let Some(which) = self.text {
                self.next = ready!(self.poll_replacement(which, request, cx));
                self.text = None;
                self.skip(self.found.search.length(which));
                if let Some(left) = &mut self.left {
                    self.progress.pass(which);
                    *left -= 1;
                }
            }
            if !self.next.is_empty() {
                let size = self.next.len().min(ENOUGH);
                return Poll::Ready(Some(self.next.split_to(size)));
            }
            if self.data.is_empty() {
                return Poll::Ready(None);
            }
            if self.left == Some(0) {
                let size = match self.held.len() {
                    0 => self.data.len(),
                    held => held,
                };
                return Poll::Ready(Some(self.take(size)));
            }
            ready!(self.turn.poll(cx));
            let search = &self.found.search;
            let found = search.find(&mut self.progress, &self.held, &self.data);
            self.turn.take(self.progress.take_compared());
            let before = self.take(found.start());
            match found {
                SearchResult::Whole { start: _, which } => self.text = Some(which),
                SearchResult::Beginning(_) => {
                    self.held.extend_from_slice(&self.data);
                    self.data = Bytes::new();
                }
                SearchResult::Nothing(_) => {}
            }
            if !before.is_empty() {
                return Poll::Ready(Some(before));
            }
        }
    }

    /// What replaces a text: the value that it has when the text is first found, as in nginx.
    fn poll_replacement(
        &mut self,
        which: usize,
        request: &dyn FilterContext,
        cx: &mut Context<'_>,
    ) -> Poll<Bytes> {
        if let Some(value) = &self.values[which] {
            return Poll::Ready(value.clone());
        }
        ready!(request.poll_memory(&mut self.need, cx));
        let pair = &self.all.list[usize::from(self.found.pairs[which])];
        let value = match &pair.fixed {
            Some(fixed) => fixed.clone(),
            None => {
                let value = request.evaluate(&pair.replacement);
                let computed = self.computed + value.len() as u64;
                // Clients choose the values of variables.
                let lacks = computed.saturating_sub(SMALL_BODY + self.counted);
                if lacks > 0 {
                    self.need.add(lacks);
                    self.counted += lacks;
                    // If it has to wait it does not hold the value, which is computed again.
                    ready!(request.poll_memory(&mut self.need, cx));
                }
                self.computed = computed;
                value
            }
        };
        self.values[which] = Some(value.clone());
        Poll::Ready(value)
    }

    /// Takes the first bytes of the input, of the held ones while there are any.
    fn take(&mut self, size: usize) -> Bytes {
        self.found.search.advance(&mut self.progress, size);
        match self.held.is_empty() {
            true => self.data.split_to(size),
            false => self.held.split_to(size).freeze(),
        }
    }

    fn skip(&mut self, size: usize) {
        self.found.search.advance(&mut self.progress, size);
        let of_held = size.min(self.held.len());
        self.held.advance(of_held);
        self.data.advance(size - of_held);
    }
}

impl Source for Substitution {
    fn poll_frame(&mut self, request: &dyn FilterContext, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(data) = ready!(self.poll_piece(request, cx)) {
                return Poll::Ready(Some(Ok(Frame::Data(data))));
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            ready!(self.turn.poll(cx));
            match ready!(self.inner.poll_frame(request, cx)) {
                Some(Ok(Frame::Data(data))) => {
                    self.turn.take(data.len());
                    self.data = data;
                }
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                // What is held at the end is passed on unreplaced, even if it is a text that
                // another one begins with: nginx does not search it again.
                end if !self.held.is_empty() => {
                    self.end = Some(end);
                    let held = std::mem::take(&mut self.held);
                    return Poll::Ready(Some(Ok(Frame::Data(held.freeze()))));
                }
                end => return Poll::Ready(end),
            }
        }
    }

    fn upstream_body(&mut self) -> Option<&mut dyn UpstreamBody> {
        self.inner.upstream_body()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pair;
    use std::cell::Cell;

    use super::*;
    use crate::modules::sub::search::Search;
    use crate::request::source::testing::{self, AnyRequest, Script, polls, turns};
    use crate::variables::template::{Template, Variable};

    fn replacing(steps: Vec<Option<Next>>) -> Substitution {
        let fixed = Pair {
            text: Template::default(),
            replacement: Template::default(),
            fixed: Some("none".into()),
        };
        replacing_by(fixed, steps)
    }

    fn replacing_by(pair: Pair, steps: Vec<Option<Next>>) -> Substitution {
        let pairs = Pairs {
            list: vec![pair],
            search: None,
        };
        let found = SearchedTexts {
            search: Arc::new(Search::new(vec!["secret".into()])),
            pairs: Box::new([0]),
        };
        let inner = Content::Stream(Box::new(Script::new(steps)));
        Substitution::new(inner, Arc::new(pairs), found, false)
    }

    fn data(text: &'static str) -> Option<Next> {
        Some(Some(Ok(Frame::Data(text.into()))))
    }

    #[test]
    fn what_is_no_beginning_does_not_wait() {
        let steps = vec![
            data("data: s"),
            None,
            data("ec"),
            None,
            data("ret, sec"),
            None,
        ];
        // "data: ", nothing, "none", ", ", and what was held at the end.
        let expected = [Some(6), None, None, Some(4), Some(2), None, Some(3)];
        assert_eq!(polls(&mut replacing(steps)), expected);
    }

    #[test]
    fn others_run_while_much_is_compared() {
        let long = format!("{}yx", "x".repeat(200));
        let steps = || (0..4).map(|_| testing::data(32 << 10)).collect();
        let mut own = replacing(steps());
        own.found.search = Arc::new(Search::new(vec![long.into()]));
        let (plain, hard) = (turns(replacing(steps())).1, turns(own).1);
        assert!(plain <= 1 && hard >= 3, "{plain} {hard}");
    }

    #[test]
    fn a_body_without_the_text_is_not_copied() {
        let text = Bytes::from("nothing of it, really");
        let steps = vec![Some(Some(Ok(Frame::Data(text.clone()))))];
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Ok(Frame::Data(sent)))) =
            replacing(steps).poll_frame(&AnyRequest, &mut cx)
        else {
            panic!("no data");
        };
        assert_eq!((sent.as_ptr(), sent.len()), (text.as_ptr(), text.len()));
    }

    /// A request whose memory is used by others until `free`, and with a large variable.
    #[derive(Default)]
    struct Crowded {
        free: Cell<bool>,
        computed: Cell<usize>,
    }

    const LARGE: usize = 3 * ENOUGH;

    impl FilterContext for Crowded {
        fn evaluate(&self, _: &Template) -> Bytes {
            self.computed.set(self.computed.get() + 1);
            vec![b'v'; LARGE].into()
        }

        fn poll_memory(&self, need: &mut Need, _: &mut Context<'_>) -> Poll<()> {
            if self.free.get() {
                *need = Need::default();
            }
            match need.is_zero() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }
    }

    #[test]
    fn a_large_value_waits_for_memory_and_is_not_held_meanwhile() {
        let computed = Pair {
            text: Template::default(),
            replacement: Template::variable(Variable::Capture(1)),
            fixed: None,
        };
        let mut own = replacing_by(computed, vec![data("a secret, a secret")]);
        let request = Crowded::default();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut next = |request: &Crowded| match own.poll_frame(request, &mut cx) {
            Poll::Ready(Some(Ok(Frame::Data(data)))) => Some(data.len()),
            Poll::Ready(_) => Some(0),
            Poll::Pending => None,
        };
        // "a ", and then nothing, however often it is asked.
        assert_eq!([(); 3].map(|()| next(&request)), [Some(2), None, None]);
        assert_eq!(request.computed.get(), 1);
        request.free.set(true);
        let whole = [Some(ENOUGH); 3];
        assert_eq!([(); 3].map(|()| next(&request)), whole);
        assert_eq!(next(&request), Some(4), "\", a \" comes between them");
        assert_eq!([(); 3].map(|()| next(&request)), whole);
        assert_eq!((next(&request), request.computed.get()), (Some(0), 2));
    }
}
