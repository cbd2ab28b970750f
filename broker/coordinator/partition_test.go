package coordinator

import "testing"

func TestPartitionForIsJavasHash(t *testing.T) {
	for _, c := range []struct {
		name string
		hash int64 // of String.hashCode
	}{
		{"", 0}, {"a", 97}, {"hello", 99162322}, {"polygenelubricants", -2147483648}, {"my-group", -1906497762}, {"console-consumer-12345", 158455506}, {"ü", 252}, {"😀", 1772899},
	} {
		want := c.hash
		if want < 0 {
			want = -want
		}
		if c.hash == -2147483648 {
			want = 0
		}
		if got := PartitionFor(c.name, 50); int64(got) != want%50 {
			t.Errorf("PartitionFor(%q) is %d, want %d", c.name, got, want%50)
		}
	}
}
