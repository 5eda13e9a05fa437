//! The connections of each consumer group, so that a changed password or a deleted group ends them. As many as there
//! are connections, no more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use headwater_storage::GroupNumber;
use tokio::sync::watch;

/// Who is logged in as which group.
#[derive(Debug, Default)]
pub(crate) struct GroupSessions {
    groups: Mutex<HashMap<GroupNumber, Sessions>>,
}

/// Of one group since its password was last changed. Never empty.
#[derive(Debug)]
struct Sessions {
    count: usize,
    /// True once they are to end.
    ended: watch::Sender<bool>,
}

/// One connection's membership. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Member {
    sessions: Arc<GroupSessions>,
    group: GroupNumber,
    ended: watch::Receiver<bool>,
}

impl GroupSessions {
    /// Notes a connection of `group`.
    pub(crate) fn join(self: &Arc<Self>, group: GroupNumber) -> Member {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = groups.entry(group).or_insert_with(|| Sessions {
            count: 0,
            ended: watch::Sender::new(false),
        });
        sessions.count += 1;
        Member {
            sessions: Arc::clone(self),
            group,
            ended: sessions.ended.subscribe(),
        }
    }

    /// Connections that `group` has now.
    pub(crate) fn count(&self, group: GroupNumber) -> usize {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(&group).map_or(0, |sessions| sessions.count)
    }

    /// Ends the connections that `group` has now; says how many. To be called behind the change of the catalog.
    pub(crate) fn end(&self, group: GroupNumber) -> usize {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sessions) = groups.remove(&group) else {
            return 0;
        };
        sessions.ended.send_replace(true);
        sessions.count
    }
}

impl Member {
    /// Becomes true when the connection is to end.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut groups = self
            .sessions
            .groups
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(sessions) = groups.get_mut(&self.group) else {
            return;
        };
        // Those that were ended are counted no more; the entry may be a later one's.
        if *self.ended.borrow() {
            return;
        }
        sessions.count -= 1;
        if sessions.count == 0 {
            groups.remove(&self.group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_of_a_group_end_together_and_later_ones_live() {
        let sessions = Arc::new(GroupSessions::default());
        let (one, two) = (GroupNumber(1), GroupNumber(2));
        let old = [sessions.join(one), sessions.join(one)];
        let other = sessions.join(two);
        assert_eq!(sessions.end(one), 2);
        assert!(old.iter().all(|member| *member.ended().borrow()));
        assert!(!*other.ended().borrow());
        let new = sessions.join(one);
        drop(old);
        assert!(!*new.ended().borrow());
        assert_eq!(sessions.end(one), 1);
        assert_eq!(sessions.end(one), 0);
        drop((new, other));
        assert!(sessions.groups.lock().expect("nobody panicked").is_empty());
    }
}
