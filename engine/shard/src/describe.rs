use crate::state::State;
use crate::{Describe, Described, Refusal, Request, Ticket};

impl State {
    pub(crate) fn describe(&mut self, ticket: Ticket, mut questions: Vec<Describe>) {
        let mut named = 0;
        for question in &mut questions {
            let key = self.partition_key(question.partition);
            let outcome = key.map(|key| {
                let log = &self.partitions[key].log;
                let size_bytes = log
                    .segments()
                    .iter()
                    .map(|segment| segment.size_bytes)
                    .sum();
                let is_room = named + log.producers().len() <= question.producers_max;
                let producers = is_room.then(|| log.producers().describe().collect());
                Described {
                    size_bytes,
                    producers,
                }
            });
            let producers = outcome.iter().flat_map(|described| &described.producers);
            named += producers.map(Vec::len).sum::<usize>();
            question.outcome = Some(outcome.ok_or(Refusal::UnknownPartition));
        }
        self.reply(ticket, Request::Describe(questions));
    }
}
