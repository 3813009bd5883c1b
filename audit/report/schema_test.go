package report_test

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/report"
)

// Fields are added to what others read and never taken away: a line that goes
// from these files needs another number in the schema's name.
func TestTheFieldsOfTheJSONStay(t *testing.T) {
	golden(t, "report-fields.txt", report.Schema+"\n"+strings.Join(fields(reflect.TypeFor[report.Report](), ""), "\n")+"\n")
	golden(t, "evidence-fields.txt", evidence.Schema+"\n"+strings.Join(fields(reflect.TypeFor[evidence.Audit](), ""), "\n")+"\n")
}

// fields are the paths of a type's JSON with the kind of each end.
func fields(t reflect.Type, path string) []string {
	switch kind := t.Kind(); {
	case t == reflect.TypeFor[time.Time]() || kind == reflect.Struct && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return []string{path + " text"}
	case kind == reflect.Pointer:
		return fields(t.Elem(), path)
	case kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return []string{path + " base64"}
	case kind == reflect.Slice:
		return fields(t.Elem(), path+"[]")
	case kind == reflect.Map:
		return fields(t.Elem(), path+"{}")
	case kind == reflect.Struct:
		var all []string
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-" || !f.IsExported():
			case f.Anonymous && name == "":
				all = append(all, fields(f.Type, path)...)
			default:
				all = append(all, fields(f.Type, strings.TrimPrefix(path+"."+name, "."))...)
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	default:
		return []string{path + " " + kind.String()}
	}
}
