/// As whom somebody speaks to a group's coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// The group's id.
    pub(super) group: String,
    /// Given by the coordinator; empty before, and outside.
    pub(super) member_id: String,
    /// The `group.instance.id` of a static member.
    pub(super) instance_id: Option<String>,
    /// The generation that the member is part of; -1 before, and outside.
    pub(super) generation: i32,
}

impl Membership {
    /// Nobody: not a member, and not about to be one.
    pub(super) fn outside(group: &str) -> Membership {
        Membership {
            group: group.to_string(),
            member_id: String::new(),
            instance_id: None,
            generation: -1,
        }
    }

    /// The member is not part of the group any more; a static one comes back by its instance id.
    pub(super) fn reset(&mut self) {
        self.member_id.clear();
        self.generation = -1;
    }
}
