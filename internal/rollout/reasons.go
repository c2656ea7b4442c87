package rollout

// The reasons of a Decision. They name a state, not a deed, and stay while nothing changes.
const (
	ReasonServing       = "Serving"       // at rest, all is well
	ReasonScaling       = "Scaling"       // at rest, instances come or go because somebody scaled
	ReasonRestoring     = "Restoring"     // at rest, the data plane is brought back to what it should have
	ReasonReleasing     = "Releasing"     // at rest, the platform is told to let go
	ReasonAborted       = "Aborted"       // at rest on stable after an abort
	ReasonHeld          = "Held"          // the refused template was written again
	ReasonNothingWanted = "NothingWanted" // nothing stands and no version is asked for

	ReasonFirstVersion      = "FirstVersion"      // the first version comes up, there is no stable yet
	ReasonFirstVersionLate  = "FirstVersionLate"  // the same, past the deadline: there is nothing to go back to, so it goes on trying
	ReasonWritingTemplate   = "WritingTemplate"   // the template is being written, for an undo, a retry or an abort
	ReasonStoppingStable    = "StoppingStable"    // recreate: stable stops before the candidate starts
	ReasonCandidateGrowing  = "CandidateGrowing"  // waits for instances of the candidate
	ReasonStableGrowing     = "StableGrowing"     // waits for instances of stable
	ReasonStableShrinking   = "StableShrinking"   // waits for instances of stable to go
	ReasonRouteConverging   = "RouteConverging"   // waits until the data plane has what it was told
	ReasonStepStanding      = "StepStanding"      // the step lasts its pause
	ReasonAwaitingPromote   = "AwaitingPromote"   // waits for somebody to promote
	ReasonGateWaiting       = "GateWaiting"       // waits for a gate to be decided
	ReasonPaused            = "Paused"            // somebody paused the rollout
	ReasonHoldingBack       = "HoldingBack"       // the old version stands so that an undo is instant
	ReasonDraining          = "Draining"          // a version gets no new traffic and answers what it has
	ReasonStopping          = "Stopping"          // instances of a version go
	ReasonRemoving          = "Removing"          // what is left of a version is removed
	ReasonReadyToGoOn       = "ReadyToGoOn"       // the next look goes on
	ReasonClockSetBack      = "ClockSetBack"      // the clock went back: the floors are counted anew
	ReasonIllegalTransition = "IllegalTransition" // a bug: the decision was not let through

	// The reasons of a Setback.
	ReasonAbortOrdered      = "AbortOrdered"      // somebody aborted, or undid it mid-way
	ReasonDeadlineExceeded  = "DeadlineExceeded"  // no progress within Plan.Deadline
	ReasonCandidateLost     = "CandidateLost"     // no instance of the candidate serves any more
	ReasonGateFailed        = "GateFailed"        // a gate says that the candidate is not good enough
	ReasonGateInconclusive  = "GateInconclusive"  // a gate was not decided by its deadline
	ReasonSuperseded        = "Superseded"        // a newer template came mid-way
	ReasonTemplateWentBack  = "TemplateWentBack"  // stable's own template came mid-way
	ReasonTemplateNotTaken  = "TemplateNotTaken"  // an undo or retry could not write its template
	ReasonCandidateUnwanted = "CandidateUnwanted" // the first version was replaced before it served
)
