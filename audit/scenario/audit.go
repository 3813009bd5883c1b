package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
)

// An audit is one order on its way.
type audit struct {
	ctx   context.Context
	order Order
	tell  func(Report) error

	mu    sync.Mutex
	cases map[*scenario]*evidence.Case
	left  map[*scenario]int // runs that are still to come
	done  int
	total int
	// excuses are why scenarios do not apply, as their controls found out.
	excuses map[*scenario]string
	broken  error
	// again are controls that showed nothing: the client alone closes them, and the
	// reference client has to show that they can leak.
	again []job
	// version is the client's, as it says.
	version string
	// sections are the audited host's state, see group.shown.
	sections []evidence.Section
}

// grouped is a scenario in its group.
type grouped struct {
	*scenario
	group *group
}

func newAudit(ctx context.Context, o Order, tell func(Report) error) (*audit, error) {
	if o.Repeat < 1 {
		o.Repeat = 1
	}
	a := &audit{ctx: ctx, order: o, tell: tell, cases: map[*scenario]*evidence.Case{}, left: map[*scenario]int{}, excuses: map[*scenario]string{}}
	if _, err := newClient(&a.order); err != nil {
		return nil, err
	}
	return a, nil
}

// run does all of it. What cannot be done is in the cases; the error is of what
// tells.
func (a *audit) run() error {
	jobs := a.plan()
	r := rand.New(rand.NewPCG(a.order.Seed, 0))
	r.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	// The long ones first, or the last one would be waited for alone.
	slices.SortStableFunc(jobs, func(x, y job) int { return y.weight() - x.weight() })
	a.all(jobs)
	a.all(a.again)
	end := End{Environment: environment(a.ctx, &a.order), Topology: topology(), Client: a.order.named()}
	end.Client.Version = a.version
	end.Settings, _ = a.order.profile() // which was read before
	end.Environment.Sections = a.sections
	if err := a.ctx.Err(); err != nil {
		end.Interrupted = context.Cause(a.ctx).Error()
		a.interrupted()
	}
	return errors.Join(a.broken, a.send(Report{End: &end}))
}

// all does jobs side by side: much of a scenario is waiting.
func (a *audit) all(jobs []job) {
	var g errgroup.Group
	g.SetLimit(2 * runtime.NumCPU())
	for _, j := range jobs {
		g.Go(func() error {
			if a.ctx.Err() == nil { // else told at the end
				a.work(j)
			}
			return nil
		})
	}
	_ = g.Wait()
}

// job is one laboratory's work.
type job struct {
	// reference jobs have the built-in ordinary client, and no guard.
	reference  bool
	group      *group
	phase      evidence.Phase
	repetition int
	scenarios  []*scenario
}

func (j job) weight() int {
	if j.group.alone {
		return 1000
	}
	return len(j.scenarios)
}

// plan chooses the scenarios, and says at once what cannot run.
func (a *audit) plan() (jobs []job) {
	by := map[*group][]*scenario{}
	var order []*group
	a.untested()
	for _, s := range table() {
		if !a.chosen(s.scenario) {
			continue
		}
		c := &evidence.Case{ID: s.id, Variant: s.variant, Title: s.title, Harm: s.harm, Rule: s.rule, Innocent: s.innocent, Reproduce: a.reproduce(s.scenario)}
		if why, never := a.cannot(s); why != "" {
			if never {
				c.NotApplicable = why
			} else {
				c.NotTested = why
			}
			a.report(c)
			continue
		}
		a.cases[s.scenario] = c
		if by[s.group] == nil {
			order = append(order, s.group)
		}
		by[s.group] = append(by[s.group], s.scenario)
	}
	for _, g := range order {
		for rep := range a.order.Repeat {
			for _, phase := range []evidence.Phase{evidence.Control, evidence.Guarded} {
				// The same order in both phases: what a scenario leaves behind is the same.
				list := slices.Clone(by[g])
				r := rand.New(rand.NewPCG(a.order.Seed, uint64(rep)+1))
				r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
				if g.alone {
					// They end the tunnel, or begin it.
					for _, s := range list {
						jobs = append(jobs, job{group: g, phase: phase, repetition: rep, scenarios: []*scenario{s}})
					}
				} else {
					jobs = append(jobs, job{group: g, phase: phase, repetition: rep, scenarios: list})
				}
				for _, s := range list {
					a.left[s]++
					a.total++
				}
			}
		}
	}
	return jobs
}

// untested says of each class that no scenario has why that is so.
func (a *audit) untested() {
	if len(a.order.Only) > 0 {
		return
	}
	all := table()
	for _, e := range catalogue.All() {
		if !slices.ContainsFunc(all, func(s grouped) bool { return s.id == e.ID }) {
			a.report(&evidence.Case{ID: e.ID, Title: e.Title, NotTested: e.Limits})
		}
	}
}

func (a *audit) chosen(s *scenario) bool {
	return len(a.order.Only) == 0 || slices.Contains(a.order.Only, s.id) || slices.Contains(a.order.Only, s.name())
}

// cannot is why a scenario cannot run, and whether it could not run anywhere.
func (a *audit) cannot(s grouped) (why string, never bool) {
	if s.uids && lab.SingleUID() {
		return "only root exists in this laboratory: the caller has no subordinate ids", false
	}
	if why := unsuited(&a.order, s); why != "" {
		return why, true
	}
	return "", false
}

func (a *audit) reproduce(s *scenario) []string {
	args := []string{"vpnguard", "audit", "lab", "--client", a.order.Client, "--guard", a.order.Guard, "--only", s.name(), "--seed", fmt.Sprint(a.order.Seed)}
	if a.order.Command != "" {
		args = append(args, "--client-command", a.order.Command)
	}
	return args
}

// work does one job.
func (a *audit) work(j job) {
	order := a.order
	if j.reference {
		order.Client, order.Guard, order.Profile = "own", "none", nil
	}
	b, err := newBench(a.ctx, &order, j.group, j.phase)
	if err != nil {
		for _, s := range j.scenarios {
			a.add(s, evidence.Run{Repetition: j.repetition, Phase: j.phase, Seed: a.order.Seed, Error: fmt.Sprintf("set up %q: %v", j.group.name, err)}, "")
		}
		return
	}
	defer b.close()
	b.sabotage()
	for _, s := range j.scenarios {
		if a.ctx.Err() != nil {
			return
		}
		_ = a.send(Report{Doing: fmt.Sprintf("%s (%s)", s.name(), j.phase)})
		run, o := b.perform(s, j.repetition, a.order.Seed)
		switch {
		case j.reference:
			run.Opinions = append(run.Opinions, evidence.Section{Title: "control", Text: "with the built-in reference client, for the client under audit showed nothing without a guard"})
		case o.mute && o.excused == "" && run.Error == "" && j.phase == evidence.Control && a.order.Client != "own" && s.unfit["own"] == "":
			a.refer(j, s)
			continue
		}
		a.add(s, run, o.excused)
	}
	if b.sections != nil && j.repetition == 0 {
		b.sections = append(b.sections, b.listed("after the scenarios")...)
		a.mu.Lock()
		a.sections, a.version = b.sections, b.version()
		a.mu.Unlock()
	}
}

// refer has a control run again with the reference client.
func (a *audit) refer(j job, s *scenario) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, k := range a.again {
		if k.group == j.group && k.repetition == j.repetition && !j.group.alone {
			a.again[i].scenarios = append(k.scenarios, s)
			return
		}
	}
	a.again = append(a.again, job{reference: true, group: j.group, phase: evidence.Control, repetition: j.repetition, scenarios: []*scenario{s}})
}

// add notes a run, and tells its case when it was the last.
func (a *audit) add(s *scenario, run evidence.Run, excuse string) {
	a.mu.Lock()
	c := a.cases[s]
	c.Runs = append(c.Runs, run)
	a.left[s]--
	a.done++
	if excuse != "" {
		a.excuses[s] = excuse
	}
	last := a.left[s] == 0
	if last {
		a.finish(s)
	}
	a.mu.Unlock()
	if last {
		a.report(c)
	}
}

// finish puts a case in order. What does not apply has no runs.
func (a *audit) finish(s *scenario) {
	c := a.cases[s]
	if why := a.excuses[s]; why != "" {
		c.NotApplicable, c.Runs = why, nil
	}
	slices.SortFunc(c.Runs, func(x, y evidence.Run) int {
		if x.Repetition != y.Repetition {
			return x.Repetition - y.Repetition
		}
		return strings.Compare(string(x.Phase), string(y.Phase)) // control before guarded
	})
	delete(a.cases, s)
}

// interrupted tells what was not reached.
func (a *audit) interrupted() {
	for s, c := range a.cases {
		if len(c.Runs) == 0 {
			c.NotTested = "the audit was interrupted before"
		} else {
			c.Runs = append(c.Runs, evidence.Run{Phase: evidence.Guarded, Error: "the audit was interrupted before this run"})
		}
		a.finish(s)
		a.report(c)
	}
}

func (a *audit) report(c *evidence.Case) { _ = a.send(Report{Case: c}) }

// send tells one report at a time. A reader that is gone ends it all.
func (a *audit) send(r Report) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.Done, r.Total = a.done, a.total
	err := a.tell(r)
	if err != nil && a.broken == nil {
		a.broken = fmt.Errorf("tell what was recorded: %w", err)
	}
	return err
}
