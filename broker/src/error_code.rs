//! The only map from our errors to Kafka's codes, and the codes that are used at all.
//!
//! In a Fetch partition Java clients accept few codes and throw IllegalStateException on any other
//! (`FetchCollector.handleInitializeErrors`): 1, 2, 3, 6, 9, 29, 56, 74, 75, 76, 78, 100, 103 and -1.

use headwater_storage::ReadError;
use kafka_protocol::error::ResponseError;

/// No error.
pub(crate) const NONE: i16 = 0;

/// Why a partition is not served, as Kafka says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The offset is outside what the log holds.
    OffsetOutOfRange,
    /// Stored bytes are damaged there.
    CorruptMessage,
    /// No such topic name, or no such partition.
    UnknownTopicOrPartition,
    /// No such topic id.
    UnknownTopicId,
    /// No topic can have this name.
    InvalidTopic,
    /// Not for this principal, or not at all.
    TopicAuthorizationFailed,
    /// As above, for transactional ids.
    TransactionalIdAuthorizationFailed,
    /// The disk did not give the bytes.
    KafkaStorageError,
    /// The client's epoch is older than ours: it has to refresh.
    FencedLeaderEpoch,
    /// The client's epoch is newer than ours: it has to wait.
    UnknownLeaderEpoch,
    /// A field has a value that this version of the API does not know.
    UnsupportedVersion,
    /// The request makes no sense.
    InvalidRequest,
    /// The broker is set up so that nobody may do this.
    PolicyViolation,
    /// There are no ACLs to ask for.
    SecurityDisabled,
    /// SASL where there is none.
    IllegalSaslState,
    /// No such fetch session, or not this connection's.
    FetchSessionIdNotFound,
    /// Not the epoch that the fetch session expects.
    InvalidFetchSessionEpoch,
    /// Topics by name in a fetch session of ids, or the other way.
    FetchSessionTopicIdError,
    /// There is no memory for the answer now.
    RequestTimedOut,
    /// Endpoints of controllers were asked for.
    MismatchedEndpointType,
    /// Endpoints of a kind that nobody knows were asked for.
    UnsupportedEndpointType,
    /// Not this group, or no groups at all.
    GroupAuthorizationFailed,
    /// Not for this principal, of what concerns the whole broker.
    ClusterAuthorizationFailed,
    /// The member is not of this group, or no longer: it has to join anew.
    UnknownMemberId,
    /// The generation is not the member's: it has to join anew.
    IllegalGeneration,
    /// The member has to join again, now.
    RebalanceInProgress,
    /// Not the protocol type of consumers, no protocol, or another than was agreed on.
    InconsistentGroupProtocol,
    /// No group can have this id.
    InvalidGroupId,
    /// The session timeout is out of bounds.
    InvalidSessionTimeout,
    /// The member has to join again with the id that it is given (KIP-394).
    MemberIdRequired,
    /// The group is full, or has an active consumer and stands none beside it.
    GroupMaxSizeReached,
    /// Another member has this `group.instance.id` now (KIP-345).
    FencedInstanceId,
    /// The group has members.
    NonEmptyGroup,
    /// No such group.
    GroupIdNotFound,
    /// The group's active member holds the topic.
    GroupSubscribedToTopic,
    /// The metadata of a position is too long.
    OffsetMetadataTooLarge,
    /// The group cannot be coordinated now.
    CoordinatorNotAvailable,
}

/// A refusal, and one sentence for whoever reads it: what is refused, and what to do instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reason {
    pub(crate) refusal: Refusal,
    pub(crate) message: &'static str,
}

impl Refusal {
    /// Kafka's number.
    pub(crate) fn code(self) -> i16 {
        self.error().code()
    }

    /// Kafka's name.
    pub(crate) fn error(self) -> ResponseError {
        match self {
            Self::OffsetOutOfRange => ResponseError::OffsetOutOfRange,
            Self::CorruptMessage => ResponseError::CorruptMessage,
            Self::UnknownTopicOrPartition => ResponseError::UnknownTopicOrPartition,
            Self::UnknownTopicId => ResponseError::UnknownTopicId,
            Self::InvalidTopic => ResponseError::InvalidTopicException,
            Self::TopicAuthorizationFailed => ResponseError::TopicAuthorizationFailed,
            Self::TransactionalIdAuthorizationFailed => {
                ResponseError::TransactionalIdAuthorizationFailed
            }
            Self::KafkaStorageError => ResponseError::KafkaStorageError,
            Self::FencedLeaderEpoch => ResponseError::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch => ResponseError::UnknownLeaderEpoch,
            Self::UnsupportedVersion => ResponseError::UnsupportedVersion,
            Self::InvalidRequest => ResponseError::InvalidRequest,
            Self::PolicyViolation => ResponseError::PolicyViolation,
            Self::SecurityDisabled => ResponseError::SecurityDisabled,
            Self::IllegalSaslState => ResponseError::IllegalSaslState,
            Self::FetchSessionIdNotFound => ResponseError::FetchSessionIdNotFound,
            Self::InvalidFetchSessionEpoch => ResponseError::InvalidFetchSessionEpoch,
            Self::FetchSessionTopicIdError => ResponseError::FetchSessionTopicIdError,
            Self::RequestTimedOut => ResponseError::RequestTimedOut,
            Self::MismatchedEndpointType => ResponseError::MismatchedEndpointType,
            Self::UnsupportedEndpointType => ResponseError::UnsupportedEndpointType,
            Self::GroupAuthorizationFailed => ResponseError::GroupAuthorizationFailed,
            Self::ClusterAuthorizationFailed => ResponseError::ClusterAuthorizationFailed,
            Self::UnknownMemberId => ResponseError::UnknownMemberId,
            Self::IllegalGeneration => ResponseError::IllegalGeneration,
            Self::RebalanceInProgress => ResponseError::RebalanceInProgress,
            Self::InconsistentGroupProtocol => ResponseError::InconsistentGroupProtocol,
            Self::InvalidGroupId => ResponseError::InvalidGroupId,
            Self::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
            Self::MemberIdRequired => ResponseError::MemberIdRequired,
            Self::GroupMaxSizeReached => ResponseError::GroupMaxSizeReached,
            Self::FencedInstanceId => ResponseError::FencedInstanceId,
            Self::NonEmptyGroup => ResponseError::NonEmptyGroup,
            Self::GroupIdNotFound => ResponseError::GroupIdNotFound,
            Self::GroupSubscribedToTopic => ResponseError::GroupSubscribedToTopic,
            Self::OffsetMetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
            Self::CoordinatorNotAvailable => ResponseError::CoordinatorNotAvailable,
        }
    }
}

impl From<&ReadError> for Refusal {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::UnknownTopic(_) => Self::UnknownTopicOrPartition,
            ReadError::OutOfRange { .. } => Self::OffsetOutOfRange,
            ReadError::Corrupt { .. } => Self::CorruptMessage,
            ReadError::Io { .. } => Self::KafkaStorageError,
        }
    }
}
