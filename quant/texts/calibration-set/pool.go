package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClosed is returned by Submit after Close.
var ErrClosed = errors.New("pool: closed")

// Job is one piece of work.
type Job func(ctx context.Context) error

// Pool runs jobs on a fixed number of goroutines.
type Pool struct {
	jobs    chan Job
	wait    sync.WaitGroup
	mu      sync.Mutex
	errs    []error
	closed  bool
	timeout time.Duration
}

// New starts a pool with the given number of workers.
func New(workers int, timeout time.Duration) (*Pool, error) {
	if workers < 1 {
		return nil, fmt.Errorf("pool: %d workers, want at least one", workers)
	}
	p := &Pool{jobs: make(chan Job), timeout: timeout}
	for i := 0; i < workers; i++ {
		p.wait.Add(1)
		go p.work()
	}
	return p, nil
}

func (p *Pool) work() {
	defer p.wait.Done()
	for job := range p.jobs {
		ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
		if err := job(ctx); err != nil {
			p.mu.Lock()
			p.errs = append(p.errs, err)
			p.mu.Unlock()
		}
		cancel()
	}
}

// Submit hands a job to the next free worker.
func (p *Pool) Submit(job Job) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return ErrClosed
	}
	p.jobs <- job
	return nil
}

// Close waits for all jobs and returns what went wrong.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	close(p.jobs)
	p.wait.Wait()
	return errors.Join(p.errs...)
}
